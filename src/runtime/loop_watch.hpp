// Notices that a handler does not give the event thread back, names its job, and has the service
// manager restart the node when it goes on for so long that the lease is at stake: nothing else of
// the node can run meanwhile, neither heartbeats nor the ends of other jobs.
//
// Handlers run through job_executor(), which marks the moments that the thread is theirs. A thread
// of its own looks at the mark.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <cstdint>
#include <mutex>
#include <thread>

#include <rowcrew/clock.hpp>
#include <rowcrew/job.hpp>
#include <rowcrew/log.hpp>

namespace rowcrew {

struct StuckLimits {
  std::chrono::milliseconds named_after{1'000};   ///< then the log says whose handler it is
  std::chrono::milliseconds ended_after{15'000};  ///< then the watchdog is triggered
};

class LoopWatch {
 public:
  struct Watched {
    LoopWatch* watch = nullptr;
    const Job* job = nullptr;
  };

  /// `end` is called on the watching thread, once per handler that stays.
  LoopWatch(Clock& clock, Log& log, StuckLimits limits, std::function<void()> end);
  ~LoopWatch();
  LoopWatch(const LoopWatch&) = delete;
  LoopWatch& operator=(const LoopWatch&) = delete;

  /// `inner`, of an io_context, whose functions run under the mark of this job: made for each job, so it
  /// fits into an any_io_executor as it is. The watch must outlive it.
  static boost::asio::any_io_executor job_executor(const boost::asio::any_io_executor& inner, std::shared_ptr<const Watched> job);

  /// The thread is this job's from now on, and no longer. Where functions nest the inner one ends the
  /// mark: then less is noticed, never too much. Whoever changes the job leaves before.
  void enter(const Job& job);
  void leave();

 private:
  void watch();

  Clock& clock_;
  Log& log_;
  const StuckLimits limits_;
  const std::function<void()> end_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopped_ = false;
  const Job* job_ = nullptr;  ///< null: nobody's
  std::uint64_t entries_ = 0;
  std::thread thread_;
};

}  // namespace rowcrew
