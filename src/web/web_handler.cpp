#include "web/web_handler.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/cipher.hpp"
#include "base/event.hpp"
#include "web/page_files.hpp"
#include "web/web_acts.hpp"
#include "web/web_query.hpp"
#include "web/web_views.hpp"

namespace rowcrew::web {
namespace {

using namespace std::chrono_literals;
using boost::asio::awaitable;

constexpr std::string_view kApi = "/api/";
constexpr auto kShared = 1s;
constexpr auto kStrangersEvery = 1s;
constexpr std::size_t kMaxLoggedPath = 200;

using View = std::string (*)(Tx&, const Query&);
const std::map<std::string_view, View> kViews = {
    {"jobs", jobs_view},
    {"job", job_view},
    {"limits", [](Tx& tx, const Query&) { return limits_view(tx); }},
    {"limit", limit_view},
    {"schedules", [](Tx& tx, const Query&) { return schedules_view(tx); }},
    {"audit", [](Tx& tx, const Query&) { return audit_view(tx); }},
};

bool is_reading(const std::string& method) { return method == "GET" || method == "HEAD"; }

ServerResponse json_response(std::string body) {
  ServerResponse response(200, "application/json", std::move(body));
  response.headers = api_headers();
  return response;
}

[[noreturn]] void refuse_method(const char* allowed) {
  throw WebRefusal(405, "method_not_allowed", std::string("expected ") + allowed, {{"Allow", allowed}});
}

}  // namespace

/// One look at the fleet, and what became of it.
struct WebHandler::Reading {
  explicit Reading(boost::asio::any_io_executor executor) : ended(std::move(executor), boost::asio::steady_timer::time_point::max()) {}

  bool done = false;
  std::string body;
  std::exception_ptr error;
  boost::asio::steady_timer ended;  ///< never runs out: cancelled at the end
};

WebHandler::WebHandler(Options options, Db& db, Clock& clock, Log& log)
    : token_(std::move(options.token)), acts_(options.acts), db_(db), clock_(clock), log_(log) {}

awaitable<ServerResponse> WebHandler::answer(ServerRequest request) {
  const bool looking = is_reading(request.method);
  const std::string path = request.path;
  const std::string peer = request.peer;
  bool known = false;
  std::exception_ptr error;
  try {
    if (!path.starts_with(kApi)) {
      if (!looking) refuse_method("GET, HEAD");
      co_return page_file(path);
    }
    check_token(request);
    known = true;
    std::string name = path.substr(kApi.size());
    if (is_act(name)) {
      auto work = act(std::move(name), std::move(request));
      co_return co_await std::move(work);
    }
    if (!looking) refuse_method("GET, HEAD");
    auto work = look(std::move(name), std::move(request.query));
    co_return co_await std::move(work);
  } catch (...) {
    error = std::current_exception();
  }
  const WebRefusal refusal = judge_web_failure(error, looking);
  if (!looking || refusal.status == 401) tell_of_refusal(refusal, path, peer, known);
  co_return refusal_response(refusal);
}

void WebHandler::tell_of_refusal(const WebRefusal& refusal, const std::string& path, const std::string& peer, bool known) {
  if (!known) {  // or whoever reaches this port could fill the disk with lines
    const Mono now = clock_.mono();
    if (strangers_told_ && now - *strangers_told_ < kStrangersEvery) {
      ++strangers_untold_;
      return;
    }
    strangers_told_ = now;
  }
  log_.info(event::kWebRefused,
            {{"status", refusal.status}, {"reason", refusal.code()}, {"path", path.substr(0, kMaxLoggedPath)}, {"peer", peer},
             {"untold", known ? 0 : std::exchange(strangers_untold_, 0)}},
            refusal.what());
}

void WebHandler::check_token(const ServerRequest& request) const {
  constexpr std::string_view kScheme = "Bearer ";
  std::string_view given = request.header("authorization");
  if (given.starts_with(kScheme)) given.remove_prefix(kScheme.size());
  if (!equal_constant_time(given, token_)) {
    throw WebRefusal(401, "unauthorized", "expected the token that this program was started with", {{"WWW-Authenticate", "Bearer"}});
  }
}

awaitable<ServerResponse> WebHandler::look(std::string path, std::string query) {
  if (path == "fleet") {
    auto fleet = look_at_fleet();
    co_return co_await std::move(fleet);
  }
  const auto view = kViews.find(path);
  if (view == kViews.end()) throw WebRefusal(404, "not_found", "no such path");
  auto work = [read = view->second, asked = parse_query(query)](Tx& tx) { return read(tx, asked); };
  std::string body = co_await db_.run(TxMode::transaction, std::move(work));
  co_return json_response(std::move(body));
}

awaitable<ServerResponse> WebHandler::look_at_fleet() {
  if (fleet_read_ && clock_.mono() - *fleet_read_ <= kShared) co_return json_response(fleet_);
  std::shared_ptr<Reading> reading = reading_;
  if (reading) {
    co_await reading->ended.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  } else {
    auto executor = co_await boost::asio::this_coro::executor;
    reading = reading_ = std::make_shared<Reading>(executor);
    auto work = read_fleet(reading);
    co_await std::move(work);
  }
  if (!reading->done) throw TransientError("busy", "the database took too long");  // our own time is over
  if (reading->error) std::rethrow_exception(reading->error);
  co_return json_response(reading->body);
}

awaitable<void> WebHandler::read_fleet(std::shared_ptr<Reading> reading) {
  try {
    auto work = [acts = acts_](Tx& tx) { return fleet_view(tx, acts); };
    reading->body = co_await db_.run(TxMode::transaction, std::move(work));
  } catch (...) {
    reading->error = std::current_exception();
  }
  reading->done = true;
  reading->ended.cancel();
  if (reading_ != reading) co_return;  // somebody has acted since: what it saw is old
  reading_.reset();
  if (reading->error) co_return;
  fleet_ = reading->body;
  fleet_read_ = clock_.mono();
}

awaitable<ServerResponse> WebHandler::act(std::string name, ServerRequest request) {
  if (request.method != "POST") refuse_method("POST");
  if (!acts_) throw WebRefusal(403, "read_only", "this page only looks: it was not started with --acts");
  ActRequest asked = parse_act(name, request.body);
  auto work = [asked](Tx& tx) { return carry_out(tx, asked); };
  const std::string answer = co_await db_.run(TxMode::autocommit, std::move(work));
  fleet_read_.reset();
  reading_.reset();
  log_.info(event::kWebActed, {{"act", name}, {"subject", asked.subject()}, {"answer", answer}, {"peer", request.peer}});
  co_return json_response(nlohmann::json{{"answer", answer}}.dump());
}

}  // namespace rowcrew::web
