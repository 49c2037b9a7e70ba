// ChildRunner on posix_spawn, a shim and pidfds.
//
// The shim (rowcrew-shim, installed beside the programs) is the child's process group leader's
// parent-side guardian: it starts the program in a new process group, with the limits set, and
// kills that group when its control pipe closes, which happens whenever this process dies,
// whatever killed it. It also ends the group by itself at the child's deadline, and when the lease
// that it was told of is over, so that a stopped (SIGSTOP) or stuck daemon leaves no child running.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <memory>
#include <string>

#include <rowcrew/child_runner.hpp>
#include <rowcrew/clock.hpp>
#include <rowcrew/log.hpp>

namespace rowcrew {

class PosixChildRunner final : public ChildRunner {
 public:
  /// `shim`: absolute path of rowcrew-shim; empty: looked up beside /proc/self/exe, then in
  /// ../libexec/rowcrew. Throws ConfigError when there is none.
  /// `max_grace` cuts the grace of every request: a lease that ends, or a stop, cannot wait longer.
  PosixChildRunner(boost::asio::any_io_executor executor, std::string shim, Clock& clock, Log& log,
                   std::chrono::milliseconds max_grace = std::chrono::seconds{5});
  ~PosixChildRunner() override;
  boost::asio::awaitable<ChildResult> run(ChildRequest request) override;

  /// The children that run and those to come are ended by their shims at `lease_until` (SIGTERM,
  /// after the grace SIGKILL) unless this is called again before. Until the first call there is no
  /// lease to outlive. Event thread only.
  void hold_until(Mono lease_until);

 private:
  struct State;
  class Following;
  std::shared_ptr<State> state_;
};

}  // namespace rowcrew
