#include "runtime/loop_watch.hpp"

#include <algorithm>
#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <string>
#include <type_traits>
#include <utility>

#include <rowcrew/error.hpp>

#include "base/event.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

/// An executor that marks what it runs. Properties are those of the inner one.
template <class Inner>
class JobExecutor {
 public:
  JobExecutor(Inner inner, std::shared_ptr<const LoopWatch::Watched> whose) : inner_(std::move(inner)), whose_(std::move(whose)) {}

  template <class F>
  void execute(F&& function) const {
    inner_.execute([whose = whose_, f = std::decay_t<F>(std::forward<F>(function))]() mutable {
      struct Mark {
        LoopWatch& watch;
        ~Mark() { watch.leave(); }
      };
      whose->watch->enter(*whose->job);
      const Mark mark{*whose->watch};
      std::move(f)();
    });
  }

  template <class P>
  auto query(const P& property) const -> decltype(asio::query(std::declval<const Inner&>(), property)) {
    return asio::query(inner_, property);
  }
  template <class P, class = std::enable_if_t<asio::can_require_v<const Inner&, P>>>
  auto require(const P& property) const {
    return of(asio::require(inner_, property));
  }
  template <class P, class = std::enable_if_t<asio::can_prefer_v<const Inner&, P>>>
  auto prefer(const P& property) const {
    return of(asio::prefer(inner_, property));
  }

  bool operator==(const JobExecutor& other) const noexcept { return inner_ == other.inner_ && whose_ == other.whose_; }
  bool operator!=(const JobExecutor& other) const noexcept { return !(*this == other); }

 private:
  template <class Other>
  JobExecutor<Other> of(Other inner) const {
    return {std::move(inner), whose_};
  }

  Inner inner_;
  std::shared_ptr<const LoopWatch::Watched> whose_;
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

asio::any_io_executor LoopWatch::job_executor(const asio::any_io_executor& inner, std::shared_ptr<const Watched> job) {
  const auto* io = inner.target<asio::io_context::executor_type>();
  if (io == nullptr) throw BugError("loop_watch", "executor: not that of an io_context");
  return JobExecutor<asio::io_context::executor_type>(*io, std::move(job));
}

void LoopWatch::enter(const Job& job) {
  const std::lock_guard lock(mutex_);
  job_ = &job;
  ++entries_;
}

void LoopWatch::leave() {
  const std::lock_guard lock(mutex_);
  job_ = nullptr;
}

void LoopWatch::watch() {
  const auto look_every = std::min(limits_.named_after, limits_.ended_after) / 4;
  std::uint64_t entry = 0;  // which of them has been seen last
  Mono since{};             // and first when
  bool named = false;
  bool ended = false;
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, look_every, [this] { return stopped_; })) {
    if (job_ == nullptr) continue;
    const Mono now = clock_.mono();
    if (entries_ != entry) {
      entry = entries_;
      since = now;
      named = ended = false;
      continue;
    }
    const auto held = std::chrono::duration_cast<std::chrono::milliseconds>(now - since);
    const bool name = held >= limits_.named_after && !named;
    const bool end = held >= limits_.ended_after && !ended;
    if (!name && !end) continue;
    const std::string job = job_->id;
    const std::string job_type = job_->job_type;
    named = true;
    ended = ended || end;
    lock.unlock();
    if (name) {
      log_.error(event::kJobStuck, {{"job", job}, {"job_type", job_type}, {"held_ms", held.count()}},
                 "its handler does not yield: nothing else of this node runs meanwhile");
    }
    if (end) {
      log_.error(event::kNodeStuck, {{"job", job}, {"job_type", job_type}, {"held_ms", held.count()}},
                 "its handler does not yield: asking the service manager for a restart");
      end_();
    }
    lock.lock();
  }
}

}  // namespace rowcrew
