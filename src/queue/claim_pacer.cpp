#include "queue/claim_pacer.hpp"

#include <algorithm>

namespace rowcrew {
namespace {

MonoClock::duration jittered(std::chrono::milliseconds span, double unit) {
  // Between a half and the whole, so that nodes do not move in step.
  return std::chrono::duration_cast<MonoClock::duration>(span * (0.5 + unit / 2));
}

}  // namespace

ClaimPacer::ClaimPacer(Options options, std::vector<std::string> queues)
    : options_(options), queues_(std::move(queues)), backlog_(queues_.begin(), queues_.end()) {}

void ClaimPacer::now_or_after_error(Mono now) {
  due_ = std::min(due_, std::max(now, not_before_));
}

void ClaimPacer::woken(Mono now) {
  backlog_.insert(queues_.begin(), queues_.end());
  announced_ = true;
  now_or_after_error(now);
}

void ClaimPacer::slot_freed(std::string_view queue, Mono now) {
  if (!backlog_.contains(queue)) return;
  freed_.emplace(queue);
  now_or_after_error(now);
}

void ClaimPacer::claimed(Mono now, std::span<const Answer> answers, double unit) {
  failures_ = 0;
  not_before_ = Mono{};
  bool full = false;
  for (const Answer& answer : answers) {
    if (answer.got < answer.asked) {
      // It held no more: a slot that a job of this very claim has freed already changes nothing.
      if (!announced_) backlog_.erase(answer.queue);
      freed_.erase(answer.queue);
    } else if (answer.asked > 0) {
      backlog_.insert(answer.queue);
      full = true;
    }
  }
  const bool again = full || announced_ || !freed_.empty();
  due_ = again ? now : now + jittered(options_.poll_every, unit);
  started();
}

void ClaimPacer::failed(Mono now, double unit) {
  const int doublings = std::min(failures_++, 10);
  due_ = now + jittered(std::min(options_.error_cap, options_.error_first * (1 << doublings)), unit);
  not_before_ = due_;
}

}  // namespace rowcrew
