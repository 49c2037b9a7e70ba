#include "google_drive_api.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

#include "google_drive_files.hpp"

namespace rowcrew::drive_poll {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
using Act = ProviderVerdict::Act;
using About = GoogleVerdict::About;

constexpr std::chrono::seconds kRenewBefore = 300s;
constexpr std::chrono::milliseconds kTokenTimeout = 15s;

/// One makes a token, the others wait for the end of this.
class Renewing {
 public:
  Renewing(GoogleAccount& who, const asio::any_io_executor& executor)
      : who_(who), turn_(std::make_shared<asio::steady_timer>(executor, asio::steady_timer::time_point::max())) {
    who_.renewing = turn_;
  }
  Renewing(const Renewing&) = delete;
  Renewing& operator=(const Renewing&) = delete;
  ~Renewing() {
    who_.renewing.reset();
    turn_->cancel();
  }

 private:
  GoogleAccount& who_;
  std::shared_ptr<asio::steady_timer> turn_;
};

void take_token(GoogleAccount& who, const std::string& body, Mono now) {
  const auto said = nlohmann::json::parse(body, nullptr, false);
  const auto token = said.is_object() ? said.find("access_token") : said.end();
  const auto life = said.is_object() ? said.find("expires_in") : said.end();
  if (token == said.end() || !token->is_string() || token->get<std::string>().empty()) {
    throw TransientError("google_drive_answer", "google_drive: no access token in an answer of 200");
  }
  const auto seconds = life != said.end() && life->is_number() ? std::clamp(life->get<double>(), 0.0, 86'400.0) : 0.0;
  const std::chrono::milliseconds span(static_cast<std::int64_t>(seconds * 1000));
  who.access_token = token->get<std::string>();
  who.renew_at = now + std::max<std::chrono::milliseconds>(span - kRenewBefore, span / 2);
}

}  // namespace

std::shared_ptr<GoogleAccount> GoogleApi::account(const std::string& key, const std::string& name,
                                                  const std::string& refresh_token) {
  std::shared_ptr<GoogleAccount>& known = accounts_[key];
  if (!known || known->refresh_token != refresh_token) known = std::make_shared<GoogleAccount>(name, refresh_token);
  return known;
}

asio::awaitable<GoogleAnswer> GoogleApi::get(GoogleAccount& who, GoogleCall call, HttpRequest request) {
  request.url = client_.api + request.url;
  for (bool first = true;; first = false) {
    GoogleAnswer allowed = co_await token(who);
    if (!allowed.verdict.answered()) co_return allowed;
    const std::string used = who.access_token;
    HttpRequest attempt = request;
    attempt.headers.emplace_back("Authorization", "Bearer " + used);
    GoogleAnswer answer = co_await send(who, std::move(attempt), call);
    if (answer.verdict.about != About::access) co_return answer;
    if (who.access_token == used) who.access_token.clear();
    if (!first) {
      answer.verdict.about = About::account;
      tell(who, answer.verdict);
      co_return answer;
    }
  }
}

asio::awaitable<GoogleAnswer> GoogleApi::token(GoogleAccount& who) {
  for (;;) {
    if (!who.access_token.empty() && clock_.mono() < who.renew_at) co_return GoogleAnswer();
    const auto turn = who.renewing;
    if (!turn) break;
    co_await turn->async_wait(asio::as_tuple(asio::use_awaitable));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
  }
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const Renewing renewing(who, executor);
  co_return co_await make_token(who);
}

asio::awaitable<GoogleAnswer> GoogleApi::make_token(GoogleAccount& who) {
  HttpRequest request("POST", client_.token);
  request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  request.body = form_text({{"client_id", client_.id},
                            {"client_secret", client_.secret},
                            {"refresh_token", who.refresh_token},
                            {"grant_type", "refresh_token"}});
  request.timeout = kTokenTimeout;
  const Mono asked = clock_.mono();  // its life began no earlier
  GoogleAnswer answer = co_await send(who, std::move(request), std::nullopt);
  if (answer.verdict.answered()) take_token(who, answer.response.body, asked);
  answer.response.body.clear();
  co_return answer;
}

asio::awaitable<GoogleAnswer> GoogleApi::send(GoogleAccount& who, HttpRequest request, std::optional<GoogleCall> call) {
  if (auto refusal = closed(who)) co_return std::move(*refusal);
  GoogleAnswer answer;
  try {
    answer.response = co_await http_.send(std::move(request));
  } catch (...) {
    lane_.forget();
    who.lane.forget();
    throw;
  }
  const auto now = clock_.wall();
  if (call) {
    answer.verdict = judge_call(*call, answer.response, now);
  } else {
    answer.verdict = judge_token(answer.response, now);
  }
  tell(who, answer.verdict);
  co_return answer;
}

std::optional<GoogleAnswer> GoogleApi::closed(GoogleAccount& who) {
  const Mono now = clock_.mono();
  About about = About::client;
  std::string why = lane_.why();
  auto wait = lane_.admit(now);
  if (!wait) {
    about = About::account;
    why = who.lane.why();
    wait = who.lane.admit(now);
    if (!wait) return std::nullopt;
    lane_.forget();
  }
  GoogleAnswer answer;
  answer.verdict = GoogleVerdict(ProviderVerdict(Act::wait, why, "google_drive: is not called for now (" + why + ")", wait), about);
  return answer;
}

/// Afterwards a verdict of wait or shut says how long its lane is closed.
void GoogleApi::tell(GoogleAccount& who, GoogleVerdict& verdict) {
  const Mono now = clock_.mono();
  const bool client = verdict.about == About::client;
  const bool account = verdict.about == About::account;
  const ProviderVerdict fine;
  const bool news = lane_.tell(client ? verdict.verdict : fine, now);
  const bool own_news = who.lane.tell(account ? verdict.verdict : fine, now);
  if (news || own_news) {
    log_.warning("drive_poll.closed", {{"account", client ? std::string() : who.name}, {"code", verdict.verdict.code}},
                 verdict.verdict.message);
  }
  const bool closes = verdict.verdict.act == Act::wait || verdict.verdict.act == Act::shut;
  if (!closes || (!client && !account)) return;
  ProviderLane copy = client ? lane_ : who.lane;
  verdict.verdict.wait = copy.admit(now);
}

}  // namespace rowcrew::drive_poll
