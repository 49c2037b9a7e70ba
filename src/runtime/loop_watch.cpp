#include "runtime/loop_watch.hpp"

#include <algorithm>
#include <boost/asio/execution.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <type_traits>
#include <utility>

#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

/// An executor that marks what it runs. Properties are those of the inner one.
class JobExecutor {
 public:
  JobExecutor(asio::any_io_executor inner, LoopWatch& watch, std::shared_ptr<const LoopWatch::Whose> whose)
      : inner_(std::move(inner)), watch_(&watch), whose_(std::move(whose)) {}

  template <class F>
  void execute(F&& function) const {
    auto marked = [watch = watch_, whose = whose_, f = std::decay_t<F>(std::forward<F>(function))]() mutable {
      struct Mark {
        LoopWatch& watch;
        ~Mark() { watch.leave(); }
      };
      watch->enter(whose);
      const Mark mark{*watch};
      std::move(f)();
    };
    inner_.execute(std::move(marked));
  }

  template <class P>
  auto query(const P& property) const -> decltype(asio::query(std::declval<const asio::any_io_executor&>(), property)) {
    return asio::query(inner_, property);
  }
  template <class P, class = std::enable_if_t<asio::can_require_v<const asio::any_io_executor&, P>>>
  JobExecutor require(const P& property) const {
    return {asio::require(inner_, property), *watch_, whose_};
  }
  template <class P, class = std::enable_if_t<asio::can_prefer_v<const asio::any_io_executor&, P>>>
  JobExecutor prefer(const P& property) const {
    return {asio::prefer(inner_, property), *watch_, whose_};
  }

  bool operator==(const JobExecutor& other) const noexcept { return inner_ == other.inner_ && whose_ == other.whose_; }
  bool operator!=(const JobExecutor& other) const noexcept { return !(*this == other); }

 private:
  asio::any_io_executor inner_;
  LoopWatch* watch_;
  std::shared_ptr<const LoopWatch::Whose> whose_;
};

}  // namespace

LoopWatch::LoopWatch(Clock& clock, Log& log, StuckLimits limits, std::function<void()> end)
    : clock_(clock), log_(log), limits_(limits), end_(std::move(end)), thread_([this] { watch(); }) {}

LoopWatch::~LoopWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

asio::any_io_executor LoopWatch::job_executor(asio::any_io_executor inner, std::string job, std::string job_type) {
  auto whose = std::make_shared<const Whose>(Whose{std::move(job), std::move(job_type)});
  return JobExecutor(std::move(inner), *this, std::move(whose));
}

void LoopWatch::enter(const std::shared_ptr<const Whose>& whose) {
  const Mono now = clock_.mono();
  const std::lock_guard lock(mutex_);
  whose_ = whose;
  since_ = now;
}

void LoopWatch::leave() {
  const std::lock_guard lock(mutex_);
  whose_.reset();
}

void LoopWatch::watch() {
  const auto look_every = std::min(limits_.named_after, limits_.ended_after) / 4;
  Mono named{};
  Mono ended{};
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, look_every, [this] { return stopped_; })) {
    if (!whose_) continue;
    const std::shared_ptr<const Whose> whose = whose_;
    const Mono since = since_;
    const auto held = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.mono() - since);
    const bool name = held >= limits_.named_after && named != since;
    const bool end = held >= limits_.ended_after && ended != since;
    if (!name && !end) continue;
    lock.unlock();
    if (name) {
      named = since;
      log_.error(event::kJobStuck, {{"job", whose->job}, {"job_type", whose->job_type}, {"held_ms", held.count()}},
                 "its handler does not yield: nothing else of this node runs meanwhile");
    }
    if (end) {
      ended = since;
      log_.error(event::kNodeStuck, {{"job", whose->job}, {"job_type", whose->job_type}, {"held_ms", held.count()}},
                 "its handler does not yield: asking the service manager for a restart");
      end_();
    }
    lock.lock();
  }
}

}  // namespace rowcrew
