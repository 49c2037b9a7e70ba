#include "proc/posix_child_runner.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include <rowcrew/error.hpp>
#include "base/event.hpp"
#include "proc/child_process.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;

// What the shim may need beyond its own deadlines before it counts as stuck.
constexpr std::chrono::milliseconds kShimMargin = 10s;
constexpr std::chrono::milliseconds kLongest = 24h * 365;

std::string find_shim() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto here = program.parent_path();
  const auto beside = here / "rowcrew-shim";
  const auto installed = here.parent_path() / "libexec/rowcrew/rowcrew-shim";
  for (const auto& path : {beside, installed}) {
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  throw ConfigError("rowcrew-shim: found neither " + beside.string() + " nor " +
                    installed.string());
}

std::string usable_shim(std::string path) {
  if (path.empty()) return find_shim();
  if (path.front() != '/' || ::access(path.c_str(), X_OK) != 0) {
    throw ConfigError("rowcrew-shim: " + path + " is no absolute path of a program");
  }
  return path;
}

// A program that closes its stdin early must not end the daemon that writes to it.
void ignore_sigpipe() {
  struct sigaction now {};
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) {
    ::signal(SIGPIPE, SIG_IGN);
  }
}

std::chrono::milliseconds clipped(std::chrono::milliseconds span) {
  return std::clamp(span, std::chrono::milliseconds(0), kLongest);
}

ChildResult result_of(ChildProcess& child, const ShimReport& report) {
  ChildResult result;
  result.exit_code = report.exit_code.value_or(0);
  result.signal = report.signal.value_or(0);
  result.timed_out = report.timed_out;
  result.output_truncated = child.output().truncated || child.errors().truncated;
  result.output = std::move(child.output().kept);
  result.errors = std::move(child.errors().kept);
  return result;
}

}  // namespace

struct PosixChildRunner::State {
  State(asio::any_io_executor on, std::string path, Clock& time, Log& lines,
        std::chrono::milliseconds most)
      : executor(std::move(on)), shim(std::move(path)), clock(time), log(lines), max_grace(most) {}

  void log_end(const std::string& program, const ShimReport& report, Mono started, bool cancelled) {
    const auto took =
        std::chrono::duration_cast<std::chrono::milliseconds>(clock.mono() - started).count();
    if (!report.complete() && report.failed_step.empty()) {
      log.error(event::kChildLost, {{"program", program}, {"took_ms", took}},
                "the shim was killed before its child");
      return;
    }
    log.debug(event::kChildEnded, {{"program", program},
                                   {"exit", report.exit_code.value_or(0)},
                                   {"signal", report.signal.value_or(0)},
                                   {"timed_out", report.timed_out ? 1 : 0},
                                   {"outlived_lease", report.outlived_lease ? 1 : 0},
                                   {"cancelled", cancelled ? 1 : 0},
                                   {"took_ms", took}});
  }

  asio::any_io_executor executor;
  std::optional<Mono> lease_until;
  std::set<ChildProcess*> running;  ///< those that follow the lease
  std::string shim;
  Clock& clock;
  Log& log;
  std::chrono::milliseconds max_grace;
};

PosixChildRunner::PosixChildRunner(asio::any_io_executor executor, std::string shim, Clock& clock,
                                   Log& log, std::chrono::milliseconds max_grace)
    : state_(std::make_shared<State>(std::move(executor), usable_shim(std::move(shim)), clock, log,
                                     max_grace)) {
  ignore_sigpipe();
}

PosixChildRunner::~PosixChildRunner() = default;

/// A child's stay among those that follow the lease; ends with the coroutine's frame.
class PosixChildRunner::Following {
 public:
  Following(State& state, ChildProcess& child) : state_(state), child_(child) {
    state_.running.insert(&child_);
  }
  Following(const Following&) = delete;
  Following& operator=(const Following&) = delete;
  ~Following() { state_.running.erase(&child_); }

 private:
  State& state_;
  ChildProcess& child_;
};

void PosixChildRunner::hold_until(Mono lease_until) {
  state_->lease_until = lease_until;
  for (ChildProcess* child : state_->running) child->hold_until(lease_until);
}

asio::awaitable<ChildResult> PosixChildRunner::run(ChildRequest request) {
  const auto state = state_;
  check_request(request);
  request.grace = std::min(request.grace, state->max_grace);
  const Mono started = state->clock.mono();
  const auto child =
      std::make_shared<ChildProcess>(state->executor,
                                     spawn_shim(state->shim, request, state->lease_until),
                                     std::move(request.input), request.max_output_bytes);
  const Following following(*state, *child);
  child->start();
  child->give_up_after(clipped(request.timeout) + clipped(request.grace) + kShimMargin);

  // A cancelled caller still waits for the end of the group; its own cancellation state is left
  // as it was, so that its next await throws as usual.
  const bool throwing = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  bool cancelled = false;
  bool ended = co_await child->ended();
  while (!ended) {
    if (!cancelled) child->give_up_after(clipped(request.grace) + kShimMargin);
    cancelled = true;
    child->ask_to_stop();
    ended = co_await child->ended();
  }
  co_await asio::this_coro::throw_if_cancelled(throwing);

  const ShimReport report = child->finish();
  state->log_end(request.argv[0], report, started, cancelled);
  if (cancelled) throw boost::system::system_error(asio::error::operation_aborted, "child");
  throw_if_not_run(report, request.argv[0], request.directory);
  if (report.outlived_lease) {
    throw TransientError("child_lease_over", "child " + request.argv[0] + ": outlived the lease");
  }
  if (!report.complete()) {
    throw TransientError("child_lost", "child " + request.argv[0] + ": its shim was killed");
  }
  co_return result_of(*child, report);
}

}  // namespace rowcrew
