#include "queue/lease_watch.hpp"

namespace rowcrew {

std::vector<NodeBeat> LeaseWatch::observe(Mono asked_at, Mono read_at, std::span<const NodeBeat> nodes) {
  std::vector<NodeBeat> dead;
  std::map<std::int64_t, Seen> now_seen;
  for (const NodeBeat& node : nodes) {
    Seen seen{node.epoch, node.beat, read_at};
    const auto before = seen_.find(node.node_id);
    if (before != seen_.end() && before->second.epoch == node.epoch && before->second.beat == node.beat) {
      seen.first_read = before->second.first_read;
      if (asked_at >= seen.first_read + node.lease) dead.push_back(node);
    }
    now_seen.emplace(node.node_id, seen);
  }
  seen_ = std::move(now_seen);
  return dead;
}

}  // namespace rowcrew
