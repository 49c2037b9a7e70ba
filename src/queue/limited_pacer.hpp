// When to look for jobs of one job table that rules about limits are about, and how to share a queue's
// free slots between them and the others. Pure: told the time and what became of each claim.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
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
  static constexpr int kMostGroups = 128;  ///< that one walk looks at

  explicit LimitedPacer(const std::vector<std::string>& queues) {
    for (const std::string& queue : queues) queues_.emplace(queue, Queue{});
  }

  /// Which queues rules may be about: of any other nothing is ever asked for.
  void rules(const std::set<std::string, std::less<>>& about, Mono now) {
    for (auto& [name, queue] : queues_) {
      const bool any = about.contains(name);
      if (any && !queue.rules) wake(queue, now);
      queue.rules = any;
    }
  }
  /// Work was announced, or a key may have room again.
  void woken(Mono now) {
    for (auto& [name, queue] : queues_) wake(queue, now);
  }

  /// Somebody looks around, told of nothing: worth a walk now and then.
  void glance(Mono now) {
    for (const auto& [name, queue] : queues_) glance(name, now);
  }
  void glance(std::string_view name, Mono now) {
    Queue& queue = of(name);
    queue.due = std::min(queue.due, std::max(now, queue.walked + std::chrono::duration_cast<MonoClock::duration>(kBetweenGlances)));
  }

  /// Nothing waits in this queue, and nobody looks or is about to.
  bool idle(std::string_view name) const {
    const Queue& queue = of(name);
    return !queue.rules || (!queue.walking() && queue.due == Mono::max());
  }
  /// Whether such jobs wait in this queue, as far as is known.
  bool waits(std::string_view queue) const { return of(queue).rules && of(queue).waits; }
  /// How many jobs to ask for with `free` of `slots` slots free, of which `ending` are expected to end during
  /// two round trips. While every walk fills them: half of them at most, the other half runs meanwhile; and
  /// where they end that fast, not one by one.
  std::size_t batch(std::string_view name, std::size_t free, std::size_t slots, std::size_t ending) const {
    if (!of(name).rules || !of(name).plenty) return free;
    if (ending * 2 >= slots && free < slots / 4) return 0;
    return std::min(free, std::max(kWorthASecond, (slots + 1) / 2));
  }
  /// Whether it is worth asking for more than there are free slots: every walk fills them, and the last one that
  /// asked for more, a while ago or not, was given some.
  bool ahead(std::string_view name, Mono now) const {
    const Queue& queue = of(name);
    return queue.rules && queue.plenty && now >= queue.ahead_from;
  }
  /// When the groups of this queue are worth a walk, with so many slots free; Mono::max() while one is
  /// under way, or nothing waits. A second one is worth it only where the last filled every slot, and
  /// from another place on: else the two would meet at the same groups.
  Mono due(std::string_view name, std::size_t count) const {
    const Queue& queue = of(name);
    if (!queue.rules || (queue.walking() && !worth_a_second(queue, count))) return Mono::max();
    return queue.walking() ? Mono{} : queue.due;
  }

  /// Whether want() would ask for something now.
  bool asks(std::string_view name, std::size_t count, std::size_t freed, Mono now) const {
    return count > 0 && of(name).rules && (walks(name, count, freed, now) || hands_over(name, count, freed));
  }
  /// How many of `free` slots to ask for, where other jobs of the queue are asked for as well: halves, of
  /// which each side has the bigger one in turn.
  std::size_t share(std::string_view queue, std::size_t free) { return (free + (of(queue).turn++ % 2)) / 2; }

  /// What to send for this queue now, for so many jobs and of them into free slots; nullopt: nothing. Ends of `freed` such jobs
  /// go along: where slots are to spare their permits stay with their groups; else it is the slots that are
  /// scarce, and the groups take turns.
  std::optional<LimitedWant> want(std::string_view name, std::size_t count, std::size_t slots, std::size_t freed, Mono now) {
    Queue& queue = of(name);
    if (!asks(name, count, freed, now)) return std::nullopt;
    LimitedWant want{std::string(name), count, std::min(count, slots), "", 0, hands_over(name, count, freed)};
    if (!walks(name, count, freed, now)) return want;
    want.second = queue.first_out;
    if (!want.second) queue.sent = now;
    (want.second ? queue.second_out : queue.first_out) = true;
    want.cursor = want.second ? queue.passed.front() : queue.passed.back();
    queue.announced = false;
    const double groups = queue.groups_per_job * static_cast<double>(count) + 1;
    want.groups = static_cast<std::size_t>(std::clamp(groups, 2.0, double{kMostGroups}));
    return want;
  }

  void answered(const LimitedWant& want, const LimitedAnswer& answer, Mono now) {
    Queue& queue = of(want.queue);
    if (!want.walk()) return;  // what waits is not known to who did not look
    if (answer.jobs > 0) queue.groups_per_job = static_cast<double>(answer.groups) / static_cast<double>(answer.jobs);
    (want.second ? queue.second_out : queue.first_out) = false;
    queue.walked = now;
    queue.waits = answer.look.has_value();
    if (want.count > want.slots) {
      queue.ahead_from = answer.jobs > want.slots ? now : now + std::chrono::duration_cast<MonoClock::duration>(kNoneAhead);
    }
    queue.plenty = answer.jobs > 0 && answer.look == std::chrono::milliseconds(0);
    if (want.second) {
      queue.passed.front() = answer.cursor;
    } else {
      queue.passed.push_back(answer.cursor);
      if (queue.passed.size() > kPassed) queue.passed.pop_front();
    }
    queue.due = answer.look ? now + look(*answer.look) : Mono::max();
    if (queue.announced) {
      queue.due = now;
    } else if (answer.more) {
      if (!want.second) queue.due = due_after(queue, want, answer, now);
    } else {
      queue.vain.reset();
    }
  }
  void refused(const LimitedWant& want, Mono now) {
    if (!want.walk()) return;
    (want.second ? of(want.queue).second_out : of(want.queue).first_out) = false;
    of(want.queue).due = now + std::chrono::duration_cast<MonoClock::duration>(kAfterError);
  }

  /// Jobs may be had that the last walk did not find: permits went back to nobody, or something was filed unannounced.
  void walk_now(std::string_view queue, Mono now) {
    of(queue).due = std::min(of(queue).due, now);
    of(queue).vain.reset();
  }

 private:
  static constexpr std::chrono::milliseconds kAfterError{500};
  static constexpr std::chrono::milliseconds kBetweenGlances{10};
  static constexpr std::chrono::milliseconds kNoneAhead{100};
  /// However long a rate is spent or a key paused: of units that come back, and pauses that end early, not all is heard.
  static constexpr std::chrono::milliseconds kLongestLook{1'000};
  static constexpr std::size_t kPassed = 8;
  static constexpr std::size_t kWorthASecond = 64;
  /// Walks that found no room in the groups they looked at, each going on where the last one ended.
  struct Vain {
    std::string from;  ///< where the first one began
    Mono since{};
    std::chrono::milliseconds look{};  ///< the shortest that any of them said
  };
  struct Queue {
    bool rules = false;
    Mono due = Mono::max();
    Mono sent{};    ///< the last walk, a second one aside
    Mono walked{};  ///< answered last
    std::optional<Vain> vain;
    Mono ahead_from{};
    std::deque<std::string> passed{""};  ///< where walks ended: the next one goes on at the last, a second at the first
    unsigned turn = 0;
    double groups_per_job = 0;  ///< of the last walk: as many as will do are asked for in one go
    bool waits = false;
    bool plenty = false;  ///< the last walk left some that it had no slots for
    bool first_out = false;
    bool second_out = false;
    bool announced = false;  ///< since the last walk began
    bool walking() const { return first_out || second_out; }
  };
  static void wake(Queue& queue, Mono now) {
    queue.due = std::min(queue.due, now);
    queue.announced = true;
    queue.vain.reset();
  }
  static MonoClock::duration look(std::chrono::milliseconds said) {
    return std::chrono::duration_cast<MonoClock::duration>(std::min(said, kLongestLook));
  }
  /// Goes on at once until all groups were looked at; then rests, at least as long as that took.
  static Mono due_after(Queue& queue, const LimitedWant& want, const LimitedAnswer& answer, Mono now) {
    const auto said = answer.look.value_or(kLongestLook);
    if (!queue.vain) queue.vain = Vain{want.cursor, queue.sent, said};
    Vain& vain = *queue.vain;
    vain.look = std::min(vain.look, said);
    // Whether it came by the place where the first one began, by name: that group may be gone meanwhile.
    const bool from_before = want.cursor < vain.from;
    const bool to_behind = answer.cursor >= vain.from;
    const bool went_round = answer.cursor <= want.cursor;
    const bool came_by = went_round ? from_before || to_behind : from_before && to_behind;
    if (!came_by) return now;
    const Mono due = std::max(now + look(vain.look), now + (now - vain.since));
    queue.vain.reset();
    return due;
  }
  static bool worth_a_second(const Queue& queue, std::size_t count) {
    return queue.plenty && !queue.second_out && count >= kWorthASecond && queue.passed.front() != queue.passed.back();
  }
  bool hands_over(std::string_view name, std::size_t count, std::size_t freed) const {
    return freed > 0 && of(name).waits && count > freed && !of(name).plenty;
  }
  bool walks(std::string_view name, std::size_t count, std::size_t freed, Mono now) const {
    const Queue& queue = of(name);
    return due(name, count) <= now || (freed > 0 && queue.waits && !hands_over(name, count, freed) && !queue.walking());
  }
  Queue& of(std::string_view name) { return queues_.find(name)->second; }
  const Queue& of(std::string_view name) const { return queues_.find(name)->second; }

  std::map<std::string, Queue, std::less<>> queues_;
};

}  // namespace rowcrew
