// Where a running handler leaves word of itself, and finds what an earlier execution left. The
// runtime implements it; handlers speak through JobContext.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

namespace rowcrew {

struct Job;

class JobProgress {
 public:
  virtual ~JobProgress() = default;
  /// Returns at once; written with others, at most once a second per job. Absent parts stay.
  virtual void report(const Job& job, std::optional<int> percent, std::optional<std::string> note,
                      std::optional<std::string> checkpoint) = 0;
  /// The last checkpoint of whichever execution, as JSON; empty when there is none. Throws DbError.
  virtual boost::asio::awaitable<std::string> last_checkpoint(const Job& job) = 0;
};

}  // namespace rowcrew
