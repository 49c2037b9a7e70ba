#include "queue/watermarks.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace rowcrew {

bool Watermarks::sweep_due(std::string_view queue, Mono now) const {
  const auto at = sweeps_.find(queue);
  return at == sweeps_.end() || now >= at->second.next;
}

bool Watermarks::sweeps_are_slow(std::string_view queue) const {
  const auto at = sweeps_.find(queue);
  return at != sweeps_.end() && at->second.between > options_.sweep_every;
}

void Watermarks::swept(std::string_view queue, std::uint64_t since, Mono now, MonoClock::duration took, double unit) {
  if (since != resets_) return;  // what was committed since it began is to be looked for
  Sweeps& of = sweeps_[std::string(queue)];
  const bool slow = took > options_.slow && took > 4 * usual_ && !straggler_;
  of.between = slow ? std::min(std::max(of.between, options_.sweep_every) * 2, options_.sweep_rarely) : options_.sweep_every;
  of.next = now + std::chrono::duration_cast<MonoClock::duration>(of.between * (0.5 + unit));
}

void Watermarks::reset() {
  ++resets_;
  for (auto& [queue, sweeps] : sweeps_) sweeps.next = Mono{};
}

void Watermarks::note(std::string_view queue, int priority, std::int64_t run_at_us) {
  if (priority < 0 || priority >= kPriorities) return;
  std::int64_t& smallest = batch_.try_emplace({std::string(queue), priority}, run_at_us).first->second;
  smallest = std::min(smallest, run_at_us);
  const auto known = marks_.find(queue);
  const std::int64_t mark = known == marks_.end() ? kNone : known->second[static_cast<std::size_t>(priority)];
  straggler_ = straggler_ || (mark != kNone && run_at_us < mark - std::chrono::microseconds(options_.margin).count());
}

void Watermarks::settle() {
  for (const auto& [group, smallest] : batch_) {
    auto [at, added] = marks_.try_emplace(group.first);
    if (added) at->second.fill(kNone);
    at->second[static_cast<std::size_t>(group.second)] = smallest;
  }
  batch_.clear();
  straggler_ = false;
}

std::vector<std::string> Watermarks::marks(std::string_view queue, bool wide) const {
  const std::int64_t margin = wide ? std::chrono::microseconds(options_.margin).count() : 0;
  std::vector<std::string> texts(kPriorities, "-infinity");
  const auto at = marks_.find(queue);
  if (at == marks_.end()) return texts;
  for (int p = 0; p < kPriorities; ++p) {
    const std::int64_t smallest = at->second[static_cast<std::size_t>(p)];
    if (smallest == kNone) continue;
    const std::int64_t us = smallest - margin;
    const std::time_t seconds = static_cast<std::time_t>(us / 1'000'000);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    texts[static_cast<std::size_t>(p)] =
        fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00", utc.tm_year + 1900, utc.tm_mon + 1,
                    utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, us % 1'000'000);
  }
  return texts;
}

}  // namespace rowcrew
