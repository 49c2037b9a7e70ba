// When to look for work next: pure. A notification or a freed slot says now, an empty answer says
// later, a failure says later still.
#pragma once

#include <chrono>
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
  /// What a claim asked of one queue and got.
  struct Answer {
    std::string queue;
    std::size_t asked;
    std::size_t got;
  };

  ClaimPacer(Options options, std::vector<std::string> queues);

  /// Somebody announced work, in whatever queue.
  void woken(Mono now);
  /// A slot of this queue has become free: worth a claim only if work may be left for it.
  void slot_freed(std::string_view queue, Mono now);
  /// A claim is on its way. What is announced from here on it may have missed: its answer is then
  /// no reason to rest.
  void started() {
    announced_ = false;
    freed_.clear();
  }
  /// `unit` in [0, 1) spreads the polls of the fleet.
  void claimed(Mono now, std::span<const Answer> answers, double unit);
  void failed(Mono now, double unit);

  /// How long to rest after a claim that found less than it asked for.
  void poll_every(std::chrono::milliseconds span) { options_.poll_every = span; }

  /// When to claim next; at or before now: at once.
  Mono due() const { return due_; }
  /// No queue is known to hold more than was taken.
  bool idle() const { return backlog_.empty(); }

 private:
  void now_or_after_error(Mono now);

  Options options_;
  std::vector<std::string> queues_;
  std::set<std::string, std::less<>> backlog_;  ///< queues that may hold more
  Mono due_{};
  Mono not_before_{};  ///< after a failure
  bool announced_ = false;                     ///< since started()
  std::set<std::string, std::less<>> freed_;    ///< queues that got a slot back since started()
  int failures_ = 0;
};

}  // namespace rowcrew
