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
  announced_ = ++moment_;
  now_or_after_error(now);
}

void ClaimPacer::slot_freed(std::string_view queue, Mono now) {
  if (!backlog_.contains(queue)) return;
  freed_.insert_or_assign(std::string(queue), ++moment_);
  now_or_after_error(now);
}

ClaimPacer::Moment ClaimPacer::started() {
  if (!flowing_) due_ = Mono::max();
  return ++moment_;
}

void ClaimPacer::claimed(Moment sent, Mono now, std::span<const Answer> answers, double unit) {
  failures_ = 0;
  not_before_ = Mono{};
  flowing_ = false;
  bool again = false;
  std::set<std::string_view> short_of;
  for (const Answer& answer : answers) {
    // A claim of this queue that was sent after the announcement has seen to it: this may be a slow one from before.
    Moment& seen = seen_[answer.queue];
    seen = std::max(seen, sent);
    again = again || announced_ > seen;
    if (answer.got >= answer.asked) {
      backlog_.insert(answer.queue);
      Moment& full = full_[answer.queue];
      full = std::max(full, sent);
      flowing_ = true;
    } else if (full_[answer.queue] > sent) {
      again = true;  // a later claim found more
    } else {
      // It held no more: a slot that a job of this very claim has freed already changes nothing.
      if (announced_ <= sent) backlog_.erase(answer.queue);
      short_of.insert(answer.queue);
    }
  }
  for (const auto& [queue, freed] : freed_) again = again || (freed > sent && !short_of.contains(queue));
  due_ = again || flowing_ ? now : now + jittered(options_.poll_every, unit);
}

void ClaimPacer::failed(Mono now, double unit) {
  const int doublings = std::min(failures_++, 10);
  due_ = now + jittered(std::min(options_.error_cap, options_.error_first * (1 << doublings)), unit);
  not_before_ = due_;
}

void ClaimPacer::mended(Mono now) {
  failures_ = 0;
  not_before_ = Mono{};
  woken(now);
}

}  // namespace rowcrew
