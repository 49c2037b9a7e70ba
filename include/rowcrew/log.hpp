// Structured logging: one event per line. An event is a `noun.verb` name (base/event.hpp lists ours;
// a kind prefixes its own with its kind) with fields; the message is one sentence for a person.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rowcrew {

enum class LogLevel : std::uint8_t {
  debug,    ///< per statement, per request
  info,     ///< the state of a job or of the process changed
  warning,  ///< trouble that mends itself
  error,    ///< a human should look
};

/// One `key=value`. Keys are snake_case. Never put a secret or a payload into a value.
struct LogField {
  LogField(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  template <std::integral T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)), number(true) {}

  std::string_view key;  ///< must outlive the call; in practice a literal
  std::string value;
  bool number = false;  ///< written without quotes in JSON
};

class Log {
 public:
  virtual ~Log() = default;

  /// Thread-safe and non-blocking for the caller apart from the write itself.
  virtual void write(LogLevel level, std::string_view event, std::span<const LogField> fields,
                     std::string_view message) = 0;
  virtual bool enabled(LogLevel level) const = 0;

  void debug(std::string_view event, const std::vector<LogField>& f, std::string_view m = {}) {
    if (enabled(LogLevel::debug)) write(LogLevel::debug, event, f, m);
  }
  void info(std::string_view event, const std::vector<LogField>& f, std::string_view m = {}) {
    if (enabled(LogLevel::info)) write(LogLevel::info, event, f, m);
  }
  void warning(std::string_view event, const std::vector<LogField>& f, std::string_view m = {}) {
    if (enabled(LogLevel::warning)) write(LogLevel::warning, event, f, m);
  }
  void error(std::string_view event, const std::vector<LogField>& f, std::string_view m = {}) {
    if (enabled(LogLevel::error)) write(LogLevel::error, event, f, m);
  }
};

}  // namespace rowcrew
