// How many jobs of each queue may run: pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew {

class Slots {
 public:
  explicit Slots(const std::vector<std::pair<std::string, std::size_t>>& limits) {
    for (const auto& [queue, limit] : limits) queues_[queue].limit = limit;
  }

  void take(std::string_view queue) {
    const auto at = queues_.find(queue);
    if (at != queues_.end()) ++at->second.used;
  }
  void give_back(std::string_view queue) {
    const auto at = queues_.find(queue);
    if (at != queues_.end() && at->second.used > 0) --at->second.used;
  }
  std::size_t free(std::string_view queue) const {
    const auto at = queues_.find(queue);
    if (at == queues_.end() || at->second.used >= at->second.limit) return 0;
    return at->second.limit - at->second.used;
  }
  std::size_t used(std::string_view queue) const {
    const auto at = queues_.find(queue);
    return at == queues_.end() ? 0 : at->second.used;
  }
  std::size_t limit(std::string_view queue) const {
    const auto at = queues_.find(queue);
    return at == queues_.end() ? 0 : at->second.limit;
  }
  std::vector<std::string> queues() const {
    std::vector<std::string> names;
    for (const auto& [queue, slot] : queues_) names.push_back(queue);
    return names;
  }

 private:
  struct Queue {
    std::size_t limit = 0;
    std::size_t used = 0;
  };
  std::map<std::string, Queue, std::less<>> queues_;
};

}  // namespace rowcrew
