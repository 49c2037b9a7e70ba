#include "generation_input.hpp"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include <rowcrew/error.hpp>

namespace rowcrew::generation {
namespace {

using nlohmann::json;

constexpr std::int64_t kLongestWaitMs = std::int64_t{7} * 24 * 3600 * 1000;

[[noreturn]] void misunderstood(const std::string& sentence) {
  throw BugError("port_answer", "generation_input: " + sentence);
}

std::string text_of(const json& object, const char* key, const char* fallback) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string(fallback);
}

std::string path_of(const json& answer, const char* key) {
  const std::string path = text_of(answer, key, "");
  if (path.size() < 2 || path.front() != '/' || path.back() == '/' ||
      path.find('\0') != path.npos) {
    throw PermanentError("bad_payload",
                         std::string(key) + ": expected the absolute path of a file");
  }
  return path;
}

Outcome refused(const json& refusal) {
  const std::string code = text_of(refusal, "code", "");
  if (code.empty()) misunderstood("refuses without a code");
  return Failed(code, text_of(refusal, "message", "the application refused this generation"));
}

Outcome waits(const json& answer) {
  const json& wait = answer.at("wait_ms");
  if (!wait.is_number_integer()) misunderstood("wait_ms is no whole number");
  const auto ms = std::clamp<std::int64_t>(wait.get<std::int64_t>(), 0, kLongestWaitMs);
  return Snooze(std::chrono::milliseconds(ms), text_of(answer, "why", ""));
}

}  // namespace

std::variant<Work, Outcome> parse_input(std::optional<std::string_view> answer) {
  if (!answer) {
    return Outcome(Failed("job_unknown", "the application knows nothing of this generation"));
  }
  const json parsed = json::parse(*answer, nullptr, false);
  if (!parsed.is_object()) misunderstood("answers no JSON object");
  if (parsed.contains("refuse")) return refused(parsed["refuse"]);
  if (parsed.contains("wait_ms")) return waits(parsed);
  Work work;
  const auto source = parsed.find("source");
  if (source != parsed.end() && !source->is_null()) work.source = path_of(parsed, "source");
  work.target = path_of(parsed, "target");
  const auto preset = parsed.find("preset");
  if (preset == parsed.end() || !preset->is_object() || !preset->contains("workflow")) {
    misunderstood("names no preset with a workflow");
  }
  work.preset = text_of(*preset, "name", "");
  work.workflow = preset->at("workflow").dump();
  work.prompt = text_of(parsed, "prompt", "");
  return work;
}

}  // namespace rowcrew::generation
