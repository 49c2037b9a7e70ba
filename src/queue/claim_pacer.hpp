// When to look for work next: pure. A notification or a freed slot says now, an empty answer says
// later, a failure says later still. Several claims may be under way at once, and each answer speaks
// only of what was there when its claim was sent.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class ClaimPacer {
 public:
  struct Options {
    std::chrono::milliseconds poll_every{2'000};  ///< when nothing was announced; jittered by half
    std::chrono::milliseconds error_first{100};   ///< doubling
    std::chrono::milliseconds error_cap{5'000};
  };
  /// What a claim asked of one queue, at least one, and got.
  struct Answer {
    std::string queue;
    std::size_t asked;
    std::size_t got;
  };
  /// Orders claims among what was announced.
  using Moment = std::uint64_t;

  ClaimPacer(Options options, std::vector<std::string> queues);

  /// Somebody announced work, in whatever queue.
  void woken(Mono now);
  /// A slot of this queue has become free: worth a claim only if work may be left for it.
  void slot_freed(std::string_view queue, Mono now);
  /// A claim is on its way. What is announced from here on it may have missed: its answer is then
  /// no reason to rest, unless a claim of the same queue that was sent later has been answered. Give the moment back with the answer. No second claim is due beside it
  /// unless the last answer was full, or more is announced.
  Moment started();
  /// `unit` in [0, 1) spreads the polls of the fleet.
  void claimed(Moment sent, Mono now, std::span<const Answer> answers, double unit);
  void failed(Mono now, double unit);
  /// What made claims fail is out of the way: no reason to wait any more.
  void mended(Mono now);

  /// How long to rest after a claim that found less than it asked for.
  void poll_every(std::chrono::milliseconds span) { options_.poll_every = span; }

  /// When to claim next; at or before now: at once.
  Mono due() const { return due_; }
  /// No queue is known to hold more than was taken, but for those that are paused: of these nothing is asked.
  bool idle(const std::set<std::string, std::less<>>& paused = {}) const {
    return std::includes(paused.begin(), paused.end(), backlog_.begin(), backlog_.end());
  }

 private:
  using Moments = std::map<std::string, Moment, std::less<>>;

  void now_or_after_error(Mono now);

  Options options_;
  std::vector<std::string> queues_;
  std::set<std::string, std::less<>> backlog_;  ///< queues that may hold more
  Mono due_{};
  Mono not_before_{};  ///< after a failure
  Moment moment_ = 0;
  Moment announced_ = 0;  ///< the last time
  Moments freed_;         ///< when a queue last got a slot back
  Moments seen_;          ///< when the latest claim was sent that told of a queue
  Moments full_;          ///< when the latest claim was sent that a queue filled
  bool flowing_ = false;  ///< the last answer was full
  int failures_ = 0;
};

}  // namespace rowcrew
