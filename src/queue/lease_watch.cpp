#include "queue/lease_watch.hpp"

#include <algorithm>

namespace rowcrew {

std::vector<NodeBeat> LeaseWatch::observe(Mono asked_at, Mono read_at, std::span<const NodeBeat> nodes) {
  std::vector<NodeBeat> dead;
  std::map<std::int64_t, Seen> now_seen;
  for (const NodeBeat& node : nodes) {
    Seen seen{node.epoch, node.beat, read_at, node.lease, false};
    const auto before = seen_.find(node.node_id);
    if (before != seen_.end() && before->second.epoch == node.epoch && before->second.beat == node.beat) {
      seen.first_read = before->second.first_read;
      seen.excused = before->second.excused;
      const auto half = node.lease / 2;
      if (read_at - read_at_ > half && !seen.excused) {
        seen.first_read = std::max(seen.first_read, read_at - half);
        seen.excused = true;
      }
      if (asked_at >= seen.first_read + node.lease) dead.push_back(node);
    }
    now_seen.emplace(node.node_id, seen);
  }
  seen_ = std::move(now_seen);
  asked_at_ = asked_at;
  read_at_ = read_at;
  return dead;
}

std::optional<Mono> LeaseWatch::next_look() const {
  std::optional<Mono> next;
  for (const auto& [id, seen] : seen_) {
    const Mono judged = seen.first_read + seen.lease;
    Mono at = read_at_ + seen.lease / 10 * static_cast<std::int64_t>(seen_.size());
    if (judged > asked_at_) at = std::min(at, judged);  // else the last read has judged it
    next = next ? std::min(*next, at) : at;
  }
  return next;
}

}  // namespace rowcrew
