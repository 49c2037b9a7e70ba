// When a node rereads what it keeps of the database's policies: job types, retry rules and ports. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include <rowcrew/clock.hpp>

namespace rowcrew {

class PolicyPacer {
 public:
  /// `started`: jobs since the node's start. `hears`: it is told of changes of all but the ports, of which it has no use
  /// until it starts a job.
  bool due(Mono now, std::int64_t started, bool hears) const {
    const bool rests = hears && started == started_;
    return !read_at_ || now >= *read_at_ + (rests ? std::chrono::seconds(600) : std::chrono::seconds(30));
  }
  void read(Mono now, std::int64_t started) {
    read_at_ = now;
    started_ = started;
  }
  /// They have changed, or may have, or could not be read: due at once.
  void changed() { read_at_.reset(); }

 private:
  std::optional<Mono> read_at_;
  std::int64_t started_ = 0;
};

}  // namespace rowcrew
