#include "cli/listen_ledger.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/escape.hpp"
#include "net/http_syntax.hpp"

namespace rowcrew::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kShownBytes = 100;

std::string format_timestamp(std::chrono::system_clock::time_point at) {
  const auto moment = std::chrono::floor<std::chrono::milliseconds>(at);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(moment);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (moment - seconds).count());
}

/// The header's value if it is there exactly once.
std::string_view only_header(const ServerRequest& request, std::string_view name) {
  std::string_view found;
  int times = 0;
  for (const auto& [key, value] : request.headers) {
    if (!equals_ignoring_case(key, name)) continue;
    found = value;
    ++times;
  }
  return times == 1 ? found : std::string_view();
}

/// A stranger's text for one place in a line.
std::string shown_word(std::string_view text) {
  std::string out;
  append_escaped(out, cut_utf8(text, kShownBytes));
  return out.empty() ? "-" : out;
}

std::string type_of(const std::string& body) {
  const json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) return "";
  const auto type = parsed.find("type");
  return type != parsed.end() && type->is_string() ? type->get<std::string>() : "";
}

}  // namespace

ListenLedger::Answer ListenLedger::take(const ServerRequest& request,
                                        std::chrono::system_clock::time_point now) {
  if (request.method != "POST") return {405, ""};
  WebhookDelivery delivery;
  delivery.id = only_header(request, kWebhookIdHeader);
  delivery.timestamp = only_header(request, kWebhookTimestampHeader);
  delivery.signature = only_header(request, kWebhookSignatureHeader);
  delivery.body = request.body;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  const WebhookVerdict verdict = verify_webhook(rules_.secrets, delivery, seconds);
  const bool good = verdict == WebhookVerdict::verified;

  std::int64_t times = 0;
  if (good) {
    ++verified_;
    times = ++seen_[std::string(delivery.id)];
    if (times > 1) ++repeated_;
  } else {
    ++refused_;
  }
  const bool on_purpose = ++deliveries_ <= rules_.fail_first;
  const int status = on_purpose ? 503 : good ? 204 : 401;
  const std::string type = type_of(request.body);
  if (rules_.json) {
    const json line = {{"time", format_timestamp(now)}, {"status", status},
                       {"type", type},                  {"id", std::string(delivery.id)},
                       {"verified", good},              {"verdict", std::string(explain(verdict))},
                       {"times", times}};
    return {status, line.dump(-1, ' ', false, json::error_handler_t::replace)};
  }
  return {status, fmt::format("{} {} {} {}{}{}", format_timestamp(now), shown_word(type),
                              shown_word(delivery.id), explain(verdict),
                              times > 1 ? fmt::format(", delivery {} of this id", times) : "",
                              on_purpose ? ", answered 503 as asked" : "")};
}

std::string ListenLedger::summary() const {
  if (rules_.json) {
    const json line = {{"deliveries", deliveries_},
                       {"verified", verified_},
                       {"repeated", repeated_},
                       {"refused", refused_}};
    return line.dump();
  }
  return fmt::format("{} deliveries: {} verified, {} repeated, {} refused", deliveries_, verified_,
                     repeated_, refused_);
}

}  // namespace rowcrew::cli
