// One running child: feeds its stdin, keeps what it prints and knows when the shim is done with it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "proc/shim_report.hpp"
#include "proc/spawn_shim.hpp"

namespace rowcrew {

/// Event thread only. Pending operations keep the object alive; dropping the last reference before
/// the end kills the group (ShimProcess).
class ChildProcess : public std::enable_shared_from_this<ChildProcess> {
 public:
  enum class Part { first, last };
  /// What is kept of one output stream. The rest is read and thrown away, so that the program
  /// never blocks on a full pipe.
  struct Output {
    Output(boost::asio::any_io_executor executor, int fd, std::size_t max, Part part)
        : pipe(executor, fd), limit(max), wanted(part) {}
    boost::asio::posix::stream_descriptor pipe;
    std::size_t limit;
    Part wanted;
    std::string kept;
    bool truncated = false;
  };

  ChildProcess(boost::asio::any_io_executor executor, ShimProcess shim, std::string input,
               std::size_t max_output);
  ~ChildProcess();

  /// Starts feeding and reading.
  void start();
  /// True when the shim has ended; false when the wait was cancelled: wait again.
  boost::asio::awaitable<bool> ended();
  /// Moves the moment at which the shim ends the group by itself.
  void hold_until(Mono lease_until);
  /// SIGTERM to the group, SIGKILL after the grace. Repeating it changes nothing.
  void ask_to_stop();
  /// The shim keeps every deadline by itself. Should it be stuck or stopped, it is killed after
  /// `span`, and ended() returns. Replaces an earlier limit.
  void give_up_after(std::chrono::milliseconds span);
  /// Once, after ended(): reads what is left in the pipes and reaps the shim.
  ShimReport finish();

  Output& output() { return output_; }
  Output& errors() { return errors_; }

 private:
  void tell(std::int64_t word) const;
  void feed();
  void read(Output& from);

  ShimProcess shim_;
  std::string unfed_;
  boost::asio::posix::stream_descriptor input_;
  Output output_;
  Output errors_;
  boost::asio::posix::stream_descriptor handle_;
  boost::asio::steady_timer last_resort_;
};

}  // namespace rowcrew
