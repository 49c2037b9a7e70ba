#include "base/log_setup.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <utility>

#include <rowcrew/error.hpp>

#include "base/log_format.hpp"
#include "base/units.hpp"

namespace rowcrew {
namespace {

/// Where finished lines go.
class Lines {
 public:
  virtual ~Lines() = default;
  virtual void write(const LogRecord& record) = 0;
};

class StdoutLines final : public Lines {
 public:
  explicit StdoutLines(bool json)
      : json_(json), logger_("rowcrew", std::make_shared<spdlog::sinks::stdout_sink_mt>()) {
    logger_.set_pattern("%v");
    logger_.set_level(spdlog::level::trace);
    logger_.flush_on(spdlog::level::trace);
  }
  void write(const LogRecord& record) override {
    const std::string line = json_ ? format_json(record) : format_logfmt(record);
    logger_.log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  bool json_;
  spdlog::logger logger_;
};

class JournalLines final : public Lines {
 public:
  void write(const LogRecord& record) override {
    std::vector<std::string> entries = format_journal(record);
    entries.push_back(std::string("SYSLOG_IDENTIFIER=") + program_invocation_short_name);
    std::vector<iovec> parts;
    for (std::string& entry : entries) parts.push_back({entry.data(), entry.size()});
    if (::sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) >= 0) return;
    // The unit's stderr leads to the journal as well, by another way.
    const std::string line = format_logfmt(record) + "\n";
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  }
};

std::unique_ptr<Lines> make_lines(LogFormat format) {
  if (format == LogFormat::journal) return std::make_unique<JournalLines>();
  return std::make_unique<StdoutLines>(format == LogFormat::json);
}

class ProcessLogImpl final : public ProcessLog {
 public:
  explicit ProcessLogImpl(const LogOptions& options)
      : node_(options.node), level_(options.level), lines_(make_lines(options.format)) {}

  void write(LogLevel level, std::string_view event, std::span<const LogField> fields,
             std::string_view message) override {
    if (!enabled(level)) return;
    const LogRecord record{std::chrono::system_clock::now(), level, event, node_, fields, message};
    lines_->write(record);
    if (!tapped_.load(std::memory_order_relaxed)) return;
    const std::string line = format_json(record);
    // Held during the call: once set_tap returns, the old tap is not called any more.
    const std::lock_guard lock(tap_mutex_);
    if (tap_) tap_(line);
  }
  bool enabled(LogLevel level) const override {
    return level >= level_.load(std::memory_order_relaxed);
  }
  void set_level(LogLevel level) override { level_.store(level, std::memory_order_relaxed); }
  LogLevel level() const override { return level_.load(std::memory_order_relaxed); }
  void set_tap(std::function<void(std::string_view json_line)> tap) override {
    const std::lock_guard lock(tap_mutex_);
    tap_ = std::move(tap);
    tapped_.store(static_cast<bool>(tap_), std::memory_order_relaxed);
  }

 private:
  const std::string node_;
  std::atomic<LogLevel> level_;
  std::unique_ptr<Lines> lines_;
  std::atomic<bool> tapped_{false};
  std::mutex tap_mutex_;
  std::function<void(std::string_view)> tap_;
};

/// systemd sets JOURNAL_STREAM to "<device>:<inode>" of what it connected; a redirection of our
/// stderr makes it differ.
bool stderr_is_journal() {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  struct stat found {};
  return stream != nullptr && ::fstat(STDERR_FILENO, &found) == 0 &&
         fmt::format("{}:{}", found.st_dev, found.st_ino) == stream;
}

}  // namespace

LogFormat parse_log_format(std::string_view word) {
  if (word == "auto") return stderr_is_journal() ? LogFormat::journal : LogFormat::logfmt;
  if (word == "logfmt") return LogFormat::logfmt;
  if (word == "json") return LogFormat::json;
  if (word == "journal") return LogFormat::journal;
  throw ConfigError(fmt::format(
      "log format: {} is not a choice, expected auto, logfmt, json or journal", shown(word)));
}

LogLevel parse_log_level(std::string_view word) {
  for (const LogLevel level :
       {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error}) {
    if (word == level_name(level)) return level;
  }
  throw ConfigError(fmt::format(
      "log level: {} is not a choice, expected debug, info, warning or error", shown(word)));
}

std::unique_ptr<ProcessLog> make_log(const LogOptions& options) {
  return std::make_unique<ProcessLogImpl>(options);
}

}  // namespace rowcrew
