#include "net/http_server.hpp"

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <set>

#include "base/event.hpp"
#include "net/http_listen.hpp"
#include "net/http_session.hpp"

namespace rowcrew {
namespace asio = boost::asio;
using asio::as_tuple;
using asio::use_awaitable;
using boost::system::error_code;
using std::chrono::steady_clock;

namespace {

/// Connections beyond the limit that are told so; what comes on top is closed without a word.
constexpr unsigned kTurnedAwayAtOnce = 64;
constexpr std::chrono::milliseconds kAcceptBackoff{100};
constexpr std::chrono::seconds kAcceptLogEvery{60};
/// For sessions that were cut off: their handlers have been cancelled and need a turn to end.
constexpr std::chrono::seconds kAfterAbort{1};

}  // namespace

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  State(asio::any_io_executor on, HttpServerOptions options, Handler handler, Log& log)
      : executor(std::move(on)),
        acceptor(open_listener(executor, options.listen, options.inherited_fd)),
        wake(executor),
        own_path(options.inherited_fd < 0 ? unix_path(options.listen) : ""),
        port(local_port(acceptor)),
        core(std::make_shared<HttpServerCore>(std::move(options), std::move(handler), log)) {}

  asio::awaitable<void> accept_connections();
  asio::awaitable<void> back_off(error_code why);
  asio::awaitable<void> keep_pace();
  void serve(StreamSocket socket);
  bool make_room();
  void start(const std::shared_ptr<HttpSession>& session, asio::awaitable<void> work,
             unsigned& count);
  void stop_accepting();
  asio::awaitable<void> drain();
  asio::awaitable<void> wait_for_sessions(std::chrono::milliseconds within);
  void abort_sessions() const;

  asio::any_io_executor executor;
  StreamAcceptor acceptor;
  asio::steady_timer wake;  ///< accept back-off, later the end of the last session
  std::string own_path;     ///< of a unix socket that is ours to remove
  std::uint16_t port;
  std::shared_ptr<HttpServerCore> core;
  std::set<std::shared_ptr<HttpSession>> sessions;
  unsigned serving = 0;
  unsigned turning_away = 0;
  std::optional<steady_clock::time_point> accept_logged;
};

asio::awaitable<void> HttpServer::State::accept_connections() {
  for (;;) {
    auto [ec, socket] = co_await acceptor.async_accept(as_tuple(use_awaitable));
    if (ec == asio::error::operation_aborted) co_return;
    if (ec) {
      co_await back_off(ec);  // out of descriptors or memory: trying at once would fail at once
    } else {
      serve(std::move(socket));
      co_await keep_pace();
    }
  }
}

asio::awaitable<void> HttpServer::State::back_off(error_code why) {
  const auto now = steady_clock::now();
  if (!accept_logged || now - *accept_logged >= kAcceptLogEvery) {
    accept_logged = now;
    core->report(LogLevel::warning, event::kHttpAcceptFailed, {{"connections", sessions.size()}},
                 why.message());
  }
  wake.expires_after(kAcceptBackoff);
  co_await wake.async_wait(as_tuple(use_awaitable));
}

asio::awaitable<void> HttpServer::State::keep_pace() {
  const auto turn = core->next_turn();
  if (turn <= steady_clock::now()) co_return;
  wake.expires_at(turn);
  co_await wake.async_wait(as_tuple(use_awaitable));
}

void HttpServer::State::serve(StreamSocket socket) {
  auto session = std::make_shared<HttpSession>(core, std::move(socket));
  if (serving < core->options.max_connections || make_room()) {
    start(session, session->run(), serving);
  } else if (turning_away < kTurnedAwayAtOnce) {
    start(session, session->turn_away(), turning_away);
  }
}

/// Or whoever opens connections and says nothing would keep everybody else out. What is given up counts until its coroutine has
/// ended, in a moment; its descriptor is free at once.
bool HttpServer::State::make_room() {
  std::shared_ptr<HttpSession> least;
  const auto goes_before = [](const HttpSession& a, const HttpSession& b) {
    return a.idle() != b.idle() ? a.idle() : *a.waits_since() < *b.waits_since();
  };
  for (const auto& session : sessions) {
    const auto since = session->waits_since();
    if (!since || steady_clock::now() - *since < core->options.patience) continue;
    if (!least || goes_before(*session, *least)) least = session;
  }
  if (least) least->give_up();
  return least != nullptr;
}

void HttpServer::State::start(const std::shared_ptr<HttpSession>& session,
                              asio::awaitable<void> work, unsigned& count) {
  ++count;
  sessions.insert(session);
  asio::co_spawn(executor, std::move(work),
                 [self = shared_from_this(), session, &count](std::exception_ptr error) {
                   --count;
                   self->sessions.erase(session);
                   if (self->core->stopping && self->sessions.empty()) self->wake.cancel();
                   if (!error) return;
                   self->core->report(LogLevel::error, event::kHttpHandlerFailed, {},
                                      "a connection broke off");
                 });
}

void HttpServer::State::stop_accepting() {
  error_code ignored;
  core->stopping = true;
  if (!acceptor.is_open()) return;
  acceptor.close(ignored);
  if (!own_path.empty()) ::unlink(own_path.c_str());
}

asio::awaitable<void> HttpServer::State::drain() {
  stop_accepting();
  for (const auto& session : sessions) session->stop_if_idle();
  co_await wait_for_sessions(core->options.request_deadline);
  abort_sessions();
  co_await wait_for_sessions(kAfterAbort);
}

asio::awaitable<void> HttpServer::State::wait_for_sessions(std::chrono::milliseconds within) {
  if (sessions.empty()) co_return;
  wake.expires_after(within);  // the last session to end cancels it
  co_await wake.async_wait(as_tuple(use_awaitable));
}

void HttpServer::State::abort_sessions() const {
  const auto now_open = sessions;  // a session that ends leaves the set
  for (const auto& session : now_open) session->abort();
}

HttpServer::HttpServer(asio::any_io_executor executor, HttpServerOptions options, Handler handler,
                       Log& log)
    : state_(std::make_shared<State>(std::move(executor), std::move(options), std::move(handler),
                                     log)) {}

HttpServer::~HttpServer() {
  state_->stop_accepting();
  state_->abort_sessions();
  state_->core->log = nullptr;
}

std::uint16_t HttpServer::port() const {
  return state_->port;
}

asio::awaitable<void> HttpServer::run() {
  const auto state = state_;
  try {
    co_await state->accept_connections();
  } catch (const boost::system::system_error& e) {
    // The cancellation may meet us between two operations; the next one throws then.
    if (e.code() != asio::error::operation_aborted) throw;
  }
  co_await asio::this_coro::reset_cancellation_state();
  co_await state->drain();
}

}  // namespace rowcrew
