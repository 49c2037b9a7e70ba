// Which nodes have let their beat stand still for a lease: pure. Needs no clock but its own, so
// neither a step of the database's clock nor a fresh start can bury the living.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
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
  /// latest; a change of any kind (a step back after a failover too) starts anew. Whoever could not read
  /// for half of a lease cannot tell the dead from those that could not write either (a server that was
  /// away): they have the other half of it to beat, once.
  std::vector<NodeBeat> observe(Mono asked_at, Mono read_at, std::span<const NodeBeat> nodes);
  /// When to read again, so that what a dead node ran is rescued soon after its lease: the moment from which a beat
  /// that stands still may be judged, and a tenth of a lease after the last read, for a beat counts from when it is
  /// seen. Of several watchers one sees it first: with each more they read more rarely. None: there is nobody to watch.
  std::optional<Mono> next_look() const;

 private:
  struct Seen {
    std::int64_t epoch;
    std::int64_t beat;
    Mono first_read;
    MonoClock::duration lease;
    bool excused;  ///< this beat was given time because we had not read
  };
  std::map<std::int64_t, Seen> seen_;
  Mono asked_at_{};
  Mono read_at_{};
};

}  // namespace rowcrew
