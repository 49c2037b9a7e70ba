// Whoever can do a generation: one implementation per value of the job's `provider`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <utility>

#include <rowcrew/job.hpp>
#include <rowcrew/outcome.hpp>

namespace rowcrew::generation {

/// What the port asks for, checked: paths are absolute and name something.
struct Work {
  Work() = default;
  std::string source;    ///< empty: the picture is made of words alone
  std::string target;
  std::string preset;    ///< for logs
  std::string workflow;  ///< JSON text, as the preset has it
  std::string prompt;    ///< the job's own words; never for logs
};

class Provider {
 public:
  virtual ~Provider() = default;

  /// Leaves the finished picture at work.target, whole or not at all, and says so in Completed's
  /// JSON {"target", "format", "width", "height", "sha256", "bytes", "took_ms"}, to which it may add. May
  /// be repeated after a crash at any point. Event thread; cancellation passes as operation_aborted.
  virtual boost::asio::awaitable<Outcome> generate(JobContext& context, Work work) = 0;
};

}  // namespace rowcrew::generation
