#include "cli/tail_lines.hpp"

#include <nlohmann/json.hpp>

#include "base/escape.hpp"
#include "base/log_setup.hpp"

namespace rowcrew::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kDropped = "tail.dropped";

/// A value as text: strings as they are, numbers as they were.
std::string text_of(const ordered_json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string field(const ordered_json& line, const char* name) {
  const auto at = line.find(name);
  return at == line.end() ? std::string() : text_of(*at);
}

/// Bare when it is one plain word, else quoted and escaped.
void append_value(std::string& out, const std::string& value) {
  if (is_plain_word(value)) {
    out += value;
    return;
  }
  out += '"';
  append_escaped(out, value);
  out += '"';
}

/// Nothing for a level that we do not know: better a line too many.
bool too_quiet(const std::string& level, LogLevel least) {
  constexpr LogLevel kLevels[] = {LogLevel::debug, LogLevel::info, LogLevel::warning,
                                  LogLevel::error};
  constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
  for (std::size_t i = 0; i < std::size(kLevels); ++i) {
    if (level == kNames[i]) return kLevels[i] < least;
  }
  return false;
}

bool passes(const ordered_json& line, const TailFilter& filter) {
  if (!filter.node.empty() && line.contains("node") && field(line, "node") != filter.node)
    return false;
  if (field(line, "event") == kDropped) return true;
  return !too_quiet(field(line, "level"), filter.level);
}

std::string for_people(const ordered_json& line) {
  std::string out;
  for (const char* const name : {"ts", "level", "node", "event"}) {
    const std::string value = field(line, name);
    if (value.empty()) continue;
    if (!out.empty()) out += ' ';
    append_value(out, value);
  }
  for (const auto& [name, value] : line.items()) {
    if (name == "ts" || name == "level" || name == "node" || name == "event" || name == "msg")
      continue;
    out += ' ';
    append_escaped(out, name);
    out += '=';
    append_value(out, text_of(value));
  }
  const std::string message = field(line, "msg");
  if (!message.empty()) {
    out += ' ';
    append_prose(out, message);
  }
  return out;
}

}  // namespace

std::string format_tail(std::string_view chunk, const TailFilter& filter) {
  std::string out;
  while (!chunk.empty()) {
    const auto end = chunk.find('\n');
    const std::string_view text = chunk.substr(0, end);
    chunk.remove_prefix(end == chunk.npos ? chunk.size() : end + 1);
    const auto line = ordered_json::parse(text, nullptr, false);
    if (!line.is_object() || !passes(line, filter)) continue;
    if (filter.json) {
      out += text;  // with the escapes that its writer chose
    } else {
      out += for_people(line);
    }
    out += '\n';
  }
  return out;
}

}  // namespace rowcrew::cli
