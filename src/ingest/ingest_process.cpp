#include "ingest/ingest_process.hpp"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <exception>
#include <memory>
#include <string>

#include <rowcrew/error.hpp>

#include "base/event.hpp"
#include "base/exit_code.hpp"
#include "base/sd_notify.hpp"
#include "base/service.hpp"
#include "base/system_clock.hpp"
#include "ingest/database_probe.hpp"
#include "ingest/ingest_handler.hpp"
#include "ingest/inherited_socket.hpp"
#include "pg/pool.hpp"

namespace rowcrew {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

/// What the server takes on top of the deadline to cut off requests that ignore it.
constexpr auto kBeyondDeadline = 3s;
constexpr auto kPoolStop = 2s;

/// Tells the service manager that the event loop is alive, from the event loop.
class Watchdog final : public Service {
 public:
  explicit Watchdog(Clock& clock) : clock_(clock) {}
  std::string_view name() const override { return "watchdog"; }
  asio::awaitable<void> run() override {
    const auto interval = sd_watchdog_interval();
    for (;;) {
      if (interval) sd_notify_state("WATCHDOG=1");
      const MonoClock::duration nap =
          interval ? MonoClock::duration(*interval / 3) : MonoClock::duration(1h);
      co_await clock_.sleep_until(clock_.mono() + nap);
    }
  }

 private:
  Clock& clock_;
};

class Ingest {
 public:
  explicit Ingest(const IngestConfig& config)
      : log_(make_log(config.log)),
        deadline_(config.http.request_deadline),
        pool_(config.database, *log_),
        probe_(
            pool_, [this] { return pool_.reachable(); }, clock_, *log_),
        handler_(pool_, probe_, *log_),
        server_(make_server(config.http)),
        watchdog_(clock_),
        supervisor_(io_.get_executor(), clock_, random_, *log_),
        signals_(io_, SIGTERM, SIGINT) {}

  int run();

 private:
  std::unique_ptr<HttpServer> make_server(HttpServerOptions options);
  void start();
  asio::awaitable<void> live();
  asio::awaitable<void> stop();
  void skip_drain_on_next_signal();

  asio::io_context io_{1};
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<ProcessLog> log_;
  std::chrono::milliseconds deadline_;
  Pool pool_;
  DatabaseProbe probe_;
  IngestHandler handler_;
  std::string address_;
  std::unique_ptr<HttpServer> server_;
  Watchdog watchdog_;
  Supervisor supervisor_;
  asio::signal_set signals_;
  int exit_code_ = kExitOk;
};

std::unique_ptr<HttpServer> Ingest::make_server(HttpServerOptions options) {
  options.inherited_fd = inherited_socket();
  address_ = options.inherited_fd >= 0 ? "the inherited socket" : options.listen;
  auto handler = [this](ServerRequest request) { return handler_.answer(std::move(request)); };
  try {
    return std::make_unique<HttpServer>(io_.get_executor(), options, std::move(handler), *log_);
  } catch (const ConfigError& e) {
    throw ConfigError(fmt::format("ingest.listen: {}", e.what()));
  }
}

int Ingest::run() {
  supervisor_.on_fatal([this](std::string_view) {
    exit_code_ = kExitFailure;
    signals_.cancel();
  });
  std::exception_ptr error;
  asio::co_spawn(io_, live(), [this, &error](std::exception_ptr e) {
    error = e;
    io_.stop();
  });
  io_.run();
  // Requests that outlived the drain: their statements are cut off, their ends are heard.
  pool_.stop(kPoolStop);
  io_.restart();
  io_.poll();
  if (error) std::rethrow_exception(error);
  return exit_code_;
}

void Ingest::start() {
  supervisor_.start(watchdog_);
  supervisor_.start(probe_);
  supervisor_.start(*server_);
  log_->info(event::kIngestReady,
             {{"version", ROWCREW_VERSION}, {"address", address_}, {"port", server_->port()}},
             "listening");
  sd_notify_state(fmt::format("READY=1\nSTATUS=listening on {}", address_));
  sd_forget_environment();
}

asio::awaitable<void> Ingest::live() {
  start();
  // Cancelled when a service has given up.
  const auto [ec, signal] = co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
  log_->info(event::kIngestStopping, {{"signal", ec ? 0 : signal}});
  sd_notify_state("STOPPING=1\nSTATUS=letting running requests end");
  skip_drain_on_next_signal();
  co_await stop();
  log_->info(event::kIngestStopped, {{"exit", exit_code_}});
}

void Ingest::skip_drain_on_next_signal() {
  signals_.async_wait([this](boost::system::error_code ec, int) {
    if (!ec) io_.stop();
  });
}

asio::awaitable<void> Ingest::stop() {
  // The server first: while its requests end, the loop must look alive to the service manager.
  co_await supervisor_.stop(*server_, deadline_ + kBeyondDeadline);
  co_await supervisor_.stop_all(kBeyondDeadline);
}

}  // namespace

int serve_ingest(const IngestConfig& config) {
  return Ingest(config).run();
}

}  // namespace rowcrew
