// The code that runs one job type.
#pragma once

#include <boost/asio/awaitable.hpp>

#include <rowcrew/job.hpp>
#include <rowcrew/outcome.hpp>

namespace rowcrew {

class Handler {
 public:
  virtual ~Handler() = default;

  /// Called once, when the node has reached the database and before it claims anything. A place to compare
  /// the configuration with the database: what leaves as ConfigError stops the node (exit 78), a transient
  /// error is tried again.
  virtual boost::asio::awaitable<void> prepare() { co_return; }

  /// Runs one execution on the event thread: await, never block. Several executions of one handler
  /// are in flight at once.
  ///
  /// Cancellation (deadline, lost lease, stop, operator) arrives as operation_aborted from the
  /// current await; let it pass. What leaves as an exception is judged by its class: a transient
  /// or foreign one becomes Retry, a permanent one Failed, a bug Retry with a loud log line.
  virtual boost::asio::awaitable<Outcome> run(JobContext& context) = 0;
};

}  // namespace rowcrew
