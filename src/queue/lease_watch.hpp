// Which nodes have let their beat stand still for a lease: pure. Needs no clock but its own, so
// neither a step of the database's clock nor a fresh start can bury the living.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include <rowcrew/clock.hpp>

namespace rowcrew {

struct NodeBeat {
  std::int64_t node_id;
  std::int64_t epoch;
  std::int64_t beat;
  MonoClock::duration lease;  ///< that node's own
};

class LeaseWatch {
 public:
  /// One successful read of all nodes. `asked_at`: before the read was sent; `read_at`: when its
  /// answer was here. Returns those that may be declared dead with exactly the beat given. A beat
  /// counts from `read_at` of the read that first showed it, and is judged by `asked_at` of the
  /// latest; a change of any kind (a step back after a failover too) starts anew.
  std::vector<NodeBeat> observe(Mono asked_at, Mono read_at, std::span<const NodeBeat> nodes);

 private:
  struct Seen {
    std::int64_t epoch;
    std::int64_t beat;
    Mono first_read;
  };
  std::map<std::int64_t, Seen> seen_;
};

}  // namespace rowcrew
