// What the ingest counts for its metrics. Event thread only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace rowcrew {

class IngestMetrics {
 public:
  /// `created`: false, the request was one that had come before.
  void accepted(bool created);
  /// `reason`: the code of the answer, of which there are only so many. Also of what the server refuses by itself.
  void refused(int status, std::string_view reason);

  /// In the text format of Prometheus.
  std::string text() const;

 private:
  std::map<int, std::uint64_t> statuses_{{202, 0}, {400, 0}, {401, 0}, {403, 0}, {503, 0}};
  std::map<std::string, std::uint64_t, std::less<>> reasons_{
      {"bad_request", 0}, {"forbidden", 0}, {"outcome_unknown", 0}, {"unauthorized", 0}, {"unavailable", 0}};
  std::uint64_t repeated_ = 0;
};

}  // namespace rowcrew
