// Long-lived loops and the one thing that starts, restarts and stops them.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include <rowcrew/clock.hpp>
#include <rowcrew/log.hpp>
#include <rowcrew/random.hpp>

namespace rowcrew {

/// A background loop of the event thread.
class Service {
 public:
  virtual ~Service() = default;
  virtual std::string_view name() const = 0;
  /// Runs until cancelled (operation_aborted). Returning without having been cancelled, or
  /// throwing anything else, is a failure: the supervisor logs it and starts it again.
  virtual boost::asio::awaitable<void> run() = 0;
};

/// When a failed service starts again: pure. 100 ms doubling to 10 s with full jitter; the fifth
/// failure within a minute gives up.
class RestartPolicy {
 public:
  enum class Verdict { restart, give_up };
  struct Decision {
    Verdict verdict;
    std::chrono::milliseconds delay;
  };
  Decision failed(Mono now, double unit);

 private:
  std::vector<Mono> failures_;  ///< of the last minute
  unsigned streak_ = 0;         ///< failures since it last ran for a minute
};

class Supervisor {
 public:
  Supervisor(boost::asio::any_io_executor executor, Clock& clock, Random& random, Log& log);
  ~Supervisor();

  /// Called once, on the event thread, when a service gives up.
  void on_fatal(std::function<void(std::string_view service)> handler);
  /// Starts the service now. It must outlive the supervisor.
  void start(Service& service);
  /// Cancels one service and waits for its end; at most `within`. False: it did not end.
  boost::asio::awaitable<bool> stop(Service& service, std::chrono::milliseconds within);
  /// Cancels all, the latest started first, and waits for them.
  boost::asio::awaitable<bool> stop_all(std::chrono::milliseconds within);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// A program's life: runs `io` until `live` has ended, whatever else is still to do there. Returns what it threw, or null.
std::exception_ptr run_until_ended(boost::asio::io_context& io, boost::asio::awaitable<void> live);

}  // namespace rowcrew
