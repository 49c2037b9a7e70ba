#include "web/web_session.hpp"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <exception>
#include <ostream>

#include <rowcrew/error.hpp>

#include "base/event.hpp"
#include "base/exit_code.hpp"
#include "base/sd_notify.hpp"

namespace rowcrew::web {
namespace asio = boost::asio;

namespace {

using namespace std::chrono_literals;

constexpr auto kDrain = 3s;
constexpr std::size_t kMostBody = std::size_t{16} << 10;
constexpr unsigned kMostConnections = 64;

HttpServerOptions server_options(const WebOptions& options) {
  HttpServerOptions made;
  made.listen = options.listen;
  made.max_body_bytes = kMostBody;
  made.max_connections = kMostConnections;
  return made;
}

/// Of few, who look now and then: what takes long is given up, so that a page never holds the database.
PoolOptions modest(PoolOptions connection) {
  connection.threads = 2;
  connection.queue = kMostConnections;
  connection.wait = 5s;
  connection.statement_timeout = 5s;
  return connection;
}

}  // namespace

WebSession::WebSession(WebOptions options, std::ostream& out)
    : options_(std::move(options)),
      out_(out),
      log_(make_log(options_.log)),
      pool_(modest(options_.connection), *log_),
      handler_({options_.token, options_.acts}, pool_, clock_, *log_),
      server_(
          io_.get_executor(), server_options(options_),
          [this](ServerRequest request) { return handler_.answer(std::move(request)); }, *log_),
      supervisor_(io_.get_executor(), clock_, random_, *log_),
      signals_(io_, SIGINT, SIGTERM),
      exit_code_(kExitOk) {}

int WebSession::run() {
  supervisor_.on_fatal([this](std::string_view) {
    exit_code_ = kExitFailure;
    signals_.cancel();
  });
  const std::exception_ptr error = run_until_ended(io_, live());
  pool_.stop(0ms);
  io_.restart();
  io_.poll();
  if (error) std::rethrow_exception(error);
  return exit_code_;
}

std::string WebSession::address() const {
  if (options_.listen.starts_with("unix:")) return options_.listen;
  const std::string host = options_.listen.substr(0, options_.listen.rfind(':'));
  return fmt::format("http://{}:{}/", host, server_.port());
}

asio::awaitable<void> WebSession::live() {
  supervisor_.start(server_);
  out_ << (options_.show_token ? fmt::format("open {}#token={}", address(), options_.token) : "listening on " + address()) << std::endl;
  log_->info(event::kWebReady, {{"version", ROWCREW_VERSION}, {"address", address()}, {"acts", options_.acts ? "yes" : "no"}}, "listening");
  sd_notify_state("READY=1");
  co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));  // cancelled when the server has given up
  sd_notify_state("STOPPING=1");
  co_await supervisor_.stop(server_, kDrain);
}

}  // namespace rowcrew::web
