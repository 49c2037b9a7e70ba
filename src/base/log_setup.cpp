#include "base/log_setup.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <poll.h>
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

#include "base/event.hpp"
#include "base/log_format.hpp"
#include "base/units.hpp"

namespace rowcrew {
namespace {

constexpr std::string_view kJournalMessage = "MESSAGE=";

/// Whole, or as much of it as goes: a log that cannot be written is nobody's to complain to.
void write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (n < 0 && errno == EAGAIN) {  // whoever shares it with us has made it so
      pollfd room{fd, POLLOUT, 0};
      static_cast<void>(::poll(&room, 1, -1));
    } else if (n >= 0 || errno != EINTR) {
      return;
    }
  }
}

void write_stdout(const LogWriter::Line& line) {
  for (const std::string& text : line) write_whole(STDOUT_FILENO, text);
}

void write_journal(const LogWriter::Line& entries) {
  std::vector<iovec> parts;
  for (const std::string& entry : entries) parts.push_back({const_cast<char*>(entry.data()), entry.size()});
  if (::sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) >= 0) return;
  // The unit's stderr leads to the journal as well, by another way.
  for (const std::string& entry : entries) {
    if (entry.starts_with(kJournalMessage)) write_whole(STDERR_FILENO, entry.substr(kJournalMessage.size()) + "\n");
  }
}

/// What is handed to the writer for a record.
LogWriter::Line finished(LogFormat format, const LogRecord& record) {
  if (format == LogFormat::logfmt) return {format_logfmt(record) + "\n"};
  if (format == LogFormat::json) return {format_json(record) + "\n"};
  std::vector<std::string> entries = format_journal(record);
  entries.push_back(std::string("SYSLOG_IDENTIFIER=") + program_invocation_short_name);
  return entries;
}

LogWriter::Line gap_line(LogFormat format, const std::string& node, std::size_t dropped) {
  const std::vector<LogField> fields{{"lines", dropped}};
  return finished(format, {std::chrono::system_clock::now(), LogLevel::warning, event::kLogDropped, node, fields,
                           "nobody read the log: the oldest lines that waited were dropped"});
}

class ProcessLogImpl final : public ProcessLog {
 public:
  explicit ProcessLogImpl(const LogOptions& options)
      : node_(options.node), level_(options.level), format_(options.format),
        writer_(options.format == LogFormat::journal ? write_journal : write_stdout,
                [format = options.format, node = options.node](std::size_t dropped) { return gap_line(format, node, dropped); }, options.writer) {}

  void write(LogLevel level, std::string_view event, std::span<const LogField> fields,
             std::string_view message) override {
    if (!enabled(level)) return;
    const LogRecord record{std::chrono::system_clock::now(), level, event, node_, fields, message};
    writer_.add(finished(format_, record));
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
  const LogFormat format_;
  LogWriter writer_;
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
