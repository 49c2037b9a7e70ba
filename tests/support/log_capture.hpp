// A log that keeps its lines for a test to look at. Thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include <rowcrew/log.hpp>

namespace rowcrew::testing {

class LogCapture final : public Log {
 public:
  struct Line {
    LogLevel level;
    std::string event;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string message;
    std::string field(std::string_view key) const;  ///< empty when absent
  };
  void write(LogLevel level, std::string_view event, std::span<const LogField> fields,
             std::string_view message) override;
  bool enabled(LogLevel) const override { return true; }

  std::vector<Line> lines() const;
  std::vector<Line> lines(std::string_view event) const;

 private:
  mutable std::mutex mutex_;
  std::vector<Line> lines_;
};

}  // namespace rowcrew::testing
