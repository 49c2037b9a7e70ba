#include "image_verdict.hpp"

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace rowcrew::generation {
namespace {

using nlohmann::json;

constexpr int kBadInput = 3;
constexpr int kWaitingMayHelp = 4;
constexpr std::size_t kLongestMessage = 400;

bool says(std::string_view text, std::string_view words) {
  return text.find(words) != text.npos;
}

// glib and the loader end the program when memory cannot be had, and say so only here.
bool lacked_memory(const ChildResult& result) {
  return says(result.errors, "bad_alloc") || says(result.errors, "allocate") ||
         says(result.errors, "failed to map");
}

Outcome crashed(const std::string& file) {
  return Failed("decoder_crashed", file + ": the picture cannot be decoded, it may be damaged");
}

Outcome judge_signal(const ChildResult& result, const std::string& file) {
  if (result.timed_out || result.signal == SIGXCPU) {
    return Failed("decoder_timeout", file + ": took too long to develop and was given up");
  }
  if (result.signal == SIGKILL || lacked_memory(result)) {
    return Failed("decoder_memory", file + ": the picture needs more memory than it may have");
  }
  if (result.signal == SIGTERM || result.signal == SIGINT || result.signal == SIGHUP) {
    return Retry("decoder_stopped", file + ": developing the picture was interrupted");
  }
  return crashed(file);
}

bool has_text(const json& object, const char* key) {
  return object.contains(key) && object[key].is_string() &&
         !object[key].get_ref<const std::string&>().empty();
}

bool is_report(const json& line) {
  for (const char* key : {"format", "sha256"}) {
    if (!has_text(line, key)) return false;
  }
  for (const char* key : {"width", "height", "bytes"}) {
    if (!line.contains(key) || !line[key].is_number_unsigned()) return false;
  }
  return true;
}

Outcome completed(const json& line, const std::string& target, std::chrono::milliseconds took) {
  json result = {{"target", target}, {"took_ms", took.count()}};
  for (const char* key : {"format", "width", "height", "sha256", "bytes"}) result[key] = line[key];
  return Completed(result.dump());
}

// NUL is the one character that PostgreSQL cannot store.
std::string storable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; }, ' ');
  if (text.size() > kLongestMessage) {
    std::size_t end = kLongestMessage;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text.resize(end);
  }
  return text;
}

std::optional<std::pair<std::string, std::string>> error_of(const json& line) {
  if (!line.is_object() || !line.contains("error") || !line["error"].is_object())
    return std::nullopt;
  const json& error = line["error"];
  if (!has_text(error, "code") || !has_text(error, "message")) return std::nullopt;
  return std::pair(storable(error["code"].get<std::string>()),
                   storable(error["message"].get<std::string>()));
}

}  // namespace

std::string base_name(const std::string& path) {
  return storable(path.substr(path.rfind('/') + 1)).substr(0, kLongestMessage);
}

bool ended_abruptly(const ChildResult& result) {
  return result.signal != 0 || result.timed_out;
}

Outcome missing() {
  return Retry("decoder_missing", "rowcrew-image: is not installed beside this node");
}

std::optional<json> report_of(const ChildResult& result) {
  if (ended_abruptly(result) || result.exit_code != 0) return std::nullopt;
  json line = json::parse(result.output, nullptr, false);
  if (!line.is_object() || line.contains("error")) return std::nullopt;
  return line;
}

Outcome judge(const ChildResult& result, const std::string& picture, const std::string& target,
              std::chrono::milliseconds took) {
  const std::string file = base_name(picture);
  if (ended_abruptly(result)) return judge_signal(result, file);
  const json line = json::parse(result.output, nullptr, false);
  if (result.exit_code == 0 && line.is_object() && is_report(line)) {
    return completed(line, target, took);
  }
  const auto error = error_of(line);
  if (error && result.exit_code == kBadInput) return Failed(error->first, error->second);
  if (error && result.exit_code == kWaitingMayHelp) return Retry(error->first, error->second);
  if (!lacked_memory(result)) return crashed(file);
  return Failed("decoder_memory", file + ": the picture needs more memory than it may have");
}

}  // namespace rowcrew::generation
