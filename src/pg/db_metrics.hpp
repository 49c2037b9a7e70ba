// What a program counts of its database: errors by class, connections in use.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rowcrew {

class Pool;

/// Errors by the class of their SQLSTATE, its first two characters; those without an answer are 08, as the server's own of
/// connections. One for all connections of a process; any thread.
class SqlstateCounts {
 public:
  void count(std::string_view sqlstate);
  std::map<std::string, std::uint64_t> counts() const;

 private:
  static constexpr std::size_t kMost = 50;  ///< functions of an application may raise what they like; then "other"

  mutable std::mutex mutex_;
  /// With those that are worth an alert from the beginning: rate() does not see how a series begins.
  std::map<std::string, std::uint64_t, std::less<>> counts_{{"08", 0}, {"40", 0}, {"53", 0}, {"55", 0}, {"57", 0}};
};

std::string db_metrics(const SqlstateCounts& errors, const std::vector<std::pair<std::string_view, const Pool*>>& pools);

}  // namespace rowcrew
