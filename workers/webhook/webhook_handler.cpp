#include "webhook_handler.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <variant>

#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/random.hpp>
#include <rowcrew/registry.hpp>
#include <rowcrew/webhook_signature.hpp>

#include "sql/webhook.hpp"
#include "webhook_judge.hpp"

namespace rowcrew::webhook {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxAnswerBytes = std::size_t{64} << 10;

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (dash ? c != '-' : !hex) return false;
  }
  return true;
}

std::string parse_delivery_id(const nlohmann::json& payload) {
  const auto found = payload.find("delivery");
  if (found != payload.end() && found->is_string()) {
    const auto& id = found->get_ref<const std::string&>();
    if (is_uuid(id)) return id;
  }
  throw PermanentError("bad_payload", "webhook payload: expected \"delivery\", a uuid");
}

/// What load.sql has found, or why there is nothing to send.
std::variant<Delivery, Cancelled> read_delivery(const Rows& rows) {
  if (rows.empty()) return Cancelled("The delivery does not exist any more.");
  if (rows.is_null(0, 1)) return Cancelled("The endpoint was deleted.");
  if (!rows.boolean(0, 1)) return Cancelled("The endpoint is disabled.");
  Delivery found;
  found.body = rows.text(0, 0);
  found.url = rows.text(0, 2);
  found.secret = rows.text(0, 3);
  if (!rows.is_null(0, 4)) found.previous_secret = std::string(rows.text(0, 4));
  found.sent_at = rows.integer(0, 5);
  return found;
}

bool is_https(std::string_view url) {
  static constexpr std::string_view kScheme = "https://";
  return url.size() > kScheme.size() &&
         std::equal(kScheme.begin(), kScheme.end(), url.begin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b | 0x20) : b);
         });
}

}  // namespace

std::string webhook_id(std::string_view delivery_id) {
  std::string id = "msg_";
  for (const char c : delivery_id) {
    if (c != '-') id += c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c;
  }
  return id;
}

HttpRequest make_request(const Delivery& delivery, std::string_view delivery_id) {
  const std::string id = webhook_id(delivery_id);
  std::string signatures = sign_webhook(delivery.secret, id, delivery.sent_at, delivery.body);
  if (delivery.previous_secret) {
    signatures += ' ';
    signatures += sign_webhook(*delivery.previous_secret, id, delivery.sent_at, delivery.body);
  }
  HttpRequest request("POST", delivery.url);
  request.headers.emplace_back("content-type", "application/json");
  request.headers.emplace_back(kWebhookIdHeader, id);
  request.headers.emplace_back(kWebhookTimestampHeader, std::to_string(delivery.sent_at));
  request.headers.emplace_back(kWebhookSignatureHeader, signatures);
  request.body = delivery.body;
  request.max_response_bytes = kMaxAnswerBytes;
  return request;
}

WebhookHandler::WebhookHandler(const Deps& deps)
    : db_(deps.db),
      http_(deps.http),
      clock_(deps.clock),
      random_(deps.random),
      timeout_(deps.kinds.section("webhook").duration("timeout", 15s, 100ms, 5min)),
      https_only_(deps.kinds.section("webhook").flag("https_only", false)),
      schedule_(deps.kinds.section("webhook")) {}

boost::asio::awaitable<Outcome> WebhookHandler::run(JobContext& context) {
  const std::string id = parse_delivery_id(context.payload());
  Params params;
  params.add(id);
  const Rows rows = co_await db_.query(sql::load, std::move(params));
  const auto found = read_delivery(rows);
  if (const auto* nothing = std::get_if<Cancelled>(&found)) co_return *nothing;
  const Delivery& delivery = std::get<Delivery>(found);
  if (https_only_ && !is_https(delivery.url)) {
    co_return naming(Failed("endpoint_forbidden", "Nothing was sent: webhooks must go to https here."), delivery.url);
  }
  HttpRequest request = make_request(delivery, id);
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(context.deadline() - clock_.mono());
  request.timeout = std::clamp(left, 1ms, timeout_);
  Outcome outcome = co_await send(std::move(request), schedule_.wait(context.job().attempt, random_.unit()));
  co_return naming(std::move(outcome), delivery.url);
}

boost::asio::awaitable<Outcome> WebhookHandler::send(HttpRequest request,
                                                     std::chrono::milliseconds wait) {
  HttpResponse response;
  ROWCREW_FAULT_POINT("webhook.sending");
  try {
    response = co_await http_.send(std::move(request));
  } catch (const Error& error) {
    const std::optional<Outcome> verdict = judge(error, wait);
    if (!verdict) throw;
    co_return *verdict;
  }
  ROWCREW_FAULT_POINT("webhook.sent");
  co_return judge(response, wait, clock_.wall());
}

}  // namespace rowcrew::webhook

namespace rowcrew {

void register_webhook(Registry& registry, Deps& deps) {
  registry.add("webhook", std::make_unique<webhook::WebhookHandler>(deps));
}

}  // namespace rowcrew
