#include "ingest/ingest_process.hpp"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
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
#include "base/loop_lag.hpp"
#include "base/process_metrics.hpp"
#include "base/sd_notify.hpp"
#include "base/service.hpp"
#include "base/system_clock.hpp"
#include "ingest/database_probe.hpp"
#include "ingest/ingest_handler.hpp"
#include "ingest/ingest_metrics.hpp"
#include "ingest/inherited_socket.hpp"
#include "net/metrics_endpoint.hpp"
#include "pg/db_metrics.hpp"
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
        pool_(counted(config.database, config.metrics_listen), *log_),
        probe_(
            pool_, [this] { return pool_.reachable(); }, clock_, *log_),
        hooks_(config.hooks),
        handler_(pool_, probe_, *log_, config.metrics_listen.empty() ? nullptr : &metrics_, &inbound_),
        server_(make_server(config.http)),
        watchdog_(clock_),
        loop_lag_(clock_),
        metrics_server_(make_metrics(config.metrics_listen)),
        supervisor_(io_.get_executor(), clock_, random_, *log_),
        signals_(io_, SIGTERM, SIGINT) {}

  int run();

 private:
  std::unique_ptr<HttpServer> make_server(HttpServerOptions options);
  std::unique_ptr<HttpServer> make_metrics(const std::string& listen);
  PoolOptions counted(PoolOptions database, const std::string& metrics_listen);
  std::string metrics() const;
  void start();
  asio::awaitable<void> live();
  asio::awaitable<void> stop();
  void skip_drain_on_next_signal();

  asio::io_context io_{1};
  SystemClock clock_;
  SystemRandom random_;
  const std::chrono::system_clock::time_point started_ = clock_.wall();
  std::unique_ptr<ProcessLog> log_;
  std::chrono::milliseconds deadline_;
  std::shared_ptr<SqlstateCounts> db_errors_;
  Pool pool_;
  DatabaseProbe probe_;
  IngestMetrics metrics_;
  const Hooks hooks_;
  const IngestHandler::Inbound inbound_{hooks_, clock_};
  IngestHandler handler_;
  std::string address_;
  std::unique_ptr<HttpServer> server_;
  Watchdog watchdog_;
  LoopLag loop_lag_;
  std::unique_ptr<HttpServer> metrics_server_;  ///< null: nobody may ask
  bool draining_ = false;
  Supervisor supervisor_;
  asio::signal_set signals_;
  int exit_code_ = kExitOk;
};

std::unique_ptr<HttpServer> Ingest::make_server(HttpServerOptions options) {
  options.inherited_fd = inherited_socket();
  options.refused = [this](int status, std::string_view code) { metrics_.refused(status, code); };
  address_ = options.inherited_fd >= 0 ? "the inherited socket" : options.listen;
  auto handler = [this](ServerRequest request) { return handler_.answer(std::move(request)); };
  try {
    return std::make_unique<HttpServer>(io_.get_executor(), options, std::move(handler), *log_);
  } catch (const ConfigError& e) {
    throw ConfigError(fmt::format("ingest.listen: {}", e.what()));
  }
}

PoolOptions Ingest::counted(PoolOptions database, const std::string& metrics_listen) {
  if (!metrics_listen.empty()) db_errors_ = database.errors = std::make_shared<SqlstateCounts>();
  return database;
}

std::unique_ptr<HttpServer> Ingest::make_metrics(const std::string& listen) {
  if (listen.empty()) return nullptr;
  MetricsAnswers answers;
  answers.metrics = [this] { return metrics(); };
  answers.hindrance = [this]() -> std::string_view { return draining_ ? "draining" : probe_.ready() ? "" : "database"; };
  return make_metrics_server(io_.get_executor(), listen, std::move(answers), *log_);
}

std::string Ingest::metrics() const {
  return build_metrics(ROWCREW_VERSION, 0) + metrics_.text() + db_metrics(*db_errors_, {{"ingest", &pool_}}) + loop_lag_.text() +
         process_metrics(started_);
}

int Ingest::run() {
  supervisor_.on_fatal([this](std::string_view) {
    exit_code_ = kExitFailure;
    signals_.cancel();
  });
  const std::exception_ptr error = run_until_ended(io_, live());
  // Requests that outlived the drain: their statements are cut off, their ends are heard.
  pool_.stop(kPoolStop);
  io_.restart();
  io_.poll();
  if (error) std::rethrow_exception(error);
  return exit_code_;
}

void Ingest::start() {
  supervisor_.start(watchdog_);
  if (metrics_server_) {
    supervisor_.start(loop_lag_);
    supervisor_.start(*metrics_server_);
  }
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
  draining_ = true;
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
