// When to look for jobs of one job table that rules about limits are about, and how to share a queue's
// free slots between them and the others. Pure: told the time and what became of each claim.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/clock.hpp>

#include "queue/job_batch.hpp"

namespace rowcrew {

class LimitedPacer {
 public:
  static constexpr int kMostGroups = 64;  ///< that one walk looks at

  explicit LimitedPacer(const std::vector<std::string>& queues) {
    for (const std::string& queue : queues) queues_.emplace(queue, Queue{});
  }

  /// Whether there are rules at all: without any nothing is ever asked for.
  void rules(bool any, Mono now) {
    if (any && !rules_) woken(now);
    rules_ = any;
  }
  /// Work was announced, or a key may have room again.
  void woken(Mono now) {
    for (auto& [name, queue] : queues_) {
      queue.due = std::min(queue.due, now);
      queue.announced = true;
    }
  }

  /// Nothing waits in this queue, and nobody looks or is about to.
  bool idle(std::string_view name) const {
    const Queue& queue = of(name);
    return !rules_ || (!queue.waits && !queue.walking && queue.due == Mono::max());
  }
  /// Whether such jobs wait in this queue, as far as is known.
  bool waits(std::string_view queue) const { return rules_ && of(queue).waits; }
  /// When the groups of this queue are worth a walk; Mono::max() while one is under way, or nothing waits.
  Mono due(std::string_view queue) const { return rules_ && !of(queue).walking ? of(queue).due : Mono::max(); }

  /// Whether want() would ask for something now.
  bool asks(std::string_view name, bool handed, Mono now) const { return rules_ && (due(name) <= now || (handed && of(name).waits)); }
  /// How many of `free` slots to ask for, where other jobs of the queue are asked for as well: halves, of
  /// which each side has the bigger one in turn.
  std::size_t share(std::string_view queue, std::size_t free) { return (free + (of(queue).turn++ % 2)) / 2; }

  /// What to send for this queue now; nullopt: nothing. `handed`: ends of such jobs go along, whose
  /// permits others of their groups may get.
  std::optional<LimitedWant> want(std::string_view name, std::size_t count, bool handed, Mono now) {
    Queue& queue = of(name);
    if (count == 0 || !asks(name, handed, now)) return std::nullopt;
    if (due(name) > now) return LimitedWant{std::string(name), count, queue.cursor, 0};
    queue.walking = true;
    queue.announced = false;
    const double groups = queue.groups_per_job * static_cast<double>(count) + 1;
    return LimitedWant{std::string(name), count, queue.cursor, static_cast<std::size_t>(std::clamp(groups, 2.0, double{kMostGroups}))};
  }

  void answered(const LimitedWant& want, const LimitedAnswer& answer, Mono now) {
    Queue& queue = of(want.queue);
    if (answer.jobs > 0 && want.walk()) queue.groups_per_job = static_cast<double>(answer.groups) / static_cast<double>(answer.jobs);
    if (!want.walk()) {
      if (!answer.look) return;  // says what waits, not when: nobody walked
      queue.waits = true;
      return;
    }
    queue.walking = false;
    queue.waits = answer.look.has_value();
    queue.cursor = answer.cursor;
    queue.due = answer.look ? now + std::chrono::duration_cast<MonoClock::duration>(*answer.look) : Mono::max();
    if (queue.announced) queue.due = now;
  }
  void refused(const LimitedWant& want, Mono now) {
    if (!want.walk()) return;
    of(want.queue).walking = false;
    of(want.queue).due = now + std::chrono::duration_cast<MonoClock::duration>(kAfterError);
  }

  /// Jobs may be had that the last walk did not find: permits went back to nobody, or something was filed unannounced.
  void walk_now(std::string_view queue, Mono now) { of(queue).due = std::min(of(queue).due, now); }

 private:
  static constexpr std::chrono::milliseconds kAfterError{500};
  struct Queue {
    Mono due = Mono::max();
    std::string cursor;
    unsigned turn = 0;
    double groups_per_job = 0;  ///< of the last walk: as many as will do are asked for in one go
    bool waits = false;
    bool walking = false;    ///< one at a time: two would meet at the same groups
    bool announced = false;  ///< since the walk under way began
  };
  Queue& of(std::string_view name) { return queues_.find(name)->second; }
  const Queue& of(std::string_view name) const { return queues_.find(name)->second; }

  bool rules_ = false;
  std::map<std::string, Queue, std::less<>> queues_;
};

}  // namespace rowcrew
