// Builds the process's log.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <rowcrew/log.hpp>

#include "base/log_writer.hpp"

namespace rowcrew {

enum class LogFormat {
  logfmt,   ///< ts=… level=… event=… key=value … msg="…", for people and terminals
  json,     ///< one object per line, for collectors
  journal,  ///< native fields (JOB_ID=…, EVENT=…) to journald
};

struct LogOptions {
  LogFormat format = LogFormat::logfmt;
  LogLevel level = LogLevel::info;
  std::string node;  ///< field `node` in every line; empty: left out
  LogWriter::Options writer{};
};

/// A log that can change its level at run time and be listened to (`rowcrew tail`).
class ProcessLog : public Log {
 public:
  virtual void set_level(LogLevel level) = 0;
  virtual LogLevel level() const = 0;
  /// `tap` gets every written line as JSON text, on the writing thread; an empty function removes
  /// it. It must not log.
  virtual void set_tap(std::function<void(std::string_view json_line)> tap) = 0;
};

/// "auto": journal when $JOURNAL_STREAM is this process's stderr, else logfmt.
/// Throws ConfigError for any other word.
LogFormat parse_log_format(std::string_view word);
LogLevel parse_log_level(std::string_view word);

/// Lines go to stdout (logfmt, json) at once, by a thread of the log's own: who logs never waits for
/// who reads. When nobody does, the oldest are dropped and a line says how many (log.dropped).
/// Thread-safe. Values are escaped: a newline or quote in a value never breaks the line. A process
/// that is killed may lose what it logged in its last moment.
std::unique_ptr<ProcessLog> make_log(const LogOptions& options);

}  // namespace rowcrew
