// One event as a line or as fields. Pure.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/log.hpp>

namespace rowcrew {

/// Views only; valid for the time of one call.
struct LogRecord {
  std::chrono::system_clock::time_point at;
  LogLevel level;
  std::string_view event;
  std::string_view node;  ///< empty: left out
  std::span<const LogField> fields;
  std::string_view message;  ///< empty: left out
};

/// All three: keys keep [a-z0-9_] (others become '_'); of two fields with one key the later one is
/// written; values and messages are cut at 4 KiB; empty values are written. No line end.
///
/// ts=2026-01-01T00:00:00.000Z level=info event=job.retry node=a key=value … msg="…"
std::string format_logfmt(const LogRecord& record);
/// {"ts":…,"level":…,"event":…,"node":…,…,"msg":…}
std::string format_json(const LogRecord& record);
/// "NAME=value" entries for sd_journal_sendv: MESSAGE (event, fields and message as logfmt, for
/// whoever reads plain journalctl), PRIORITY, EVENT, NODE and one per field, upper-cased; `job` is
/// JOB_ID. A field that would pose as one of the journal's own (priority) gets ROWCREW_ before it.
std::vector<std::string> format_journal(const LogRecord& record);

std::string_view level_name(LogLevel level);

}  // namespace rowcrew
