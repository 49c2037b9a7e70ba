#include "base/log_format.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/escape.hpp"

namespace rowcrew {
namespace {

constexpr std::size_t kMaxValueBytes = 4096;
constexpr std::string_view kCut = "…";

std::string timestamp(std::chrono::system_clock::time_point at) {
  const auto moment = std::chrono::floor<std::chrono::milliseconds>(at);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(moment);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (moment - seconds).count());
}

/// Appends the key in its safe spelling.
void append_key(std::string& out, std::string_view key) {
  for (const char c : key) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || upper || c == '_';
    out += !kept ? '_' : upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  // What every line carries must not come twice: {"level":"info",…,"level":"7"}.
  constexpr std::array<std::string_view, 5> kOwn{"ts", "level", "event", "node", "msg"};
  if (key.empty() || std::find(kOwn.begin(), kOwn.end(), key) != kOwn.end()) out += '_';
}

/// The fields that are written: the last of each key.
template <class Use>
void each_field(const LogRecord& record, Use use) {
  const auto& fields = record.fields;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const bool repeated =
        std::any_of(fields.begin() + static_cast<std::ptrdiff_t>(i) + 1, fields.end(),
                    [&](const LogField& f) { return f.key == fields[i].key; });
    if (!repeated) use(fields[i]);
  }
}

void append_quoted(std::string& out, std::string_view text) {
  const std::string_view kept = cut_utf8(text, kMaxValueBytes);
  out += '"';
  append_escaped(out, kept);
  if (kept.size() < text.size()) out += kCut;
  out += '"';
}

void append_logfmt(std::string& out, std::string_view value) {
  if (value.size() <= kMaxValueBytes && is_plain_word(value)) {
    out += value;
  } else {
    append_quoted(out, value);
  }
}

void append_logfmt_rest(std::string& out, const LogRecord& record) {
  each_field(record, [&](const LogField& field) {
    out += ' ';
    append_key(out, field.key);
    out += '=';
    append_logfmt(out, field.value);
  });
  if (record.message.empty()) return;
  out += " msg=";
  append_quoted(out, record.message);
}

/// A JSON number as std::to_string writes whole ones; nothing else goes out without quotes.
bool is_whole_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.empty() || text.size() > 20 || (text.size() > 1 && text.front() == '0')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

void append_json_member(std::string& out, std::string_view key, std::string_view value) {
  out += fmt::format(",\"{}\":", key);
  append_quoted(out, value);
}

int priority_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return 7;
    case LogLevel::info:
      return 6;
    case LogLevel::warning:
      return 4;
    case LogLevel::error:
      return 3;
  }
  return 3;
}

std::string journal_name(std::string_view key) {
  std::string name;
  append_key(name, key == "job" ? "job_id" : key);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  constexpr std::array<std::string_view, 8> kTaken{"MESSAGE",   "PRIORITY",  "MESSAGE_ID", "ERRNO",
                                                   "CODE_FILE", "CODE_LINE", "CODE_FUNC",  "TID"};
  const char first = name.front();
  const bool taken =
      std::find(kTaken.begin(), kTaken.end(), name) != kTaken.end() || name.starts_with("SYSLOG_");
  // journald drops names that start with '_' (its own, trusted ones) or a digit.
  if (taken || first == '_' || (first >= '0' && first <= '9')) name.insert(0, "ROWCREW_");
  return name.substr(0, 64);
}

std::string journal_entry(std::string name, std::string_view value) {
  const std::string_view kept = cut_utf8(value, kMaxValueBytes);
  name += '=';
  name += kept;
  if (kept.size() < value.size()) name += kCut;
  return name;
}

}  // namespace

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  return "error";
}

std::string format_logfmt(const LogRecord& record) {
  std::string out =
      fmt::format("ts={} level={} event=", timestamp(record.at), level_name(record.level));
  append_logfmt(out, record.event);
  if (!record.node.empty()) {
    out += " node=";
    append_logfmt(out, record.node);
  }
  append_logfmt_rest(out, record);
  return out;
}

std::string format_json(const LogRecord& record) {
  std::string out = fmt::format("{{\"ts\":\"{}\",\"level\":\"{}\"", timestamp(record.at),
                                level_name(record.level));
  append_json_member(out, "event", record.event);
  if (!record.node.empty()) append_json_member(out, "node", record.node);
  each_field(record, [&](const LogField& field) {
    std::string key;
    append_key(key, field.key);
    if (field.number && is_whole_number(field.value)) {
      out += fmt::format(",\"{}\":{}", key, field.value);
    } else {
      append_json_member(out, key, field.value);
    }
  });
  if (!record.message.empty()) append_json_member(out, "msg", record.message);
  out += '}';
  return out;
}

std::vector<std::string> format_journal(const LogRecord& record) {
  std::string line = "event=";
  append_logfmt(line, record.event);
  append_logfmt_rest(line, record);
  std::vector<std::string> entries;
  entries.push_back("MESSAGE=" + line);
  entries.push_back(fmt::format("PRIORITY={}", priority_of(record.level)));
  entries.push_back(journal_entry("EVENT", record.event));
  if (!record.node.empty()) entries.push_back(journal_entry("NODE", record.node));
  if (!record.message.empty()) entries.push_back(journal_entry("MSG", record.message));
  each_field(record, [&](const LogField& field) {
    entries.push_back(journal_entry(journal_name(field.key), field.value));
  });
  return entries;
}

}  // namespace rowcrew
