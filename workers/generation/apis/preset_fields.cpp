#include "preset_fields.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include <rowcrew/error.hpp>
#include <rowcrew/provider_verdict.hpp>

namespace rowcrew::generation {
namespace {

using nlohmann::json;

constexpr std::string_view kPlace = "{prompt}";
constexpr std::size_t kMostText = 100'000;
constexpr std::size_t kMostSteps = 20;
constexpr std::size_t kTelling = 12;  // bytes in a row of somebody's words that are no accident

bool repeats(std::string_view message, std::string_view words) {
  if (words.size() < kTelling) return !words.empty() && message.find(words) != message.npos;
  for (std::size_t at = 0; at + kTelling <= words.size(); ++at) {
    if (message.find(words.substr(at, kTelling)) != message.npos) return true;
  }
  return false;
}

}  // namespace

PresetFields::PresetFields(const std::string& workflow) : whole_(json::parse(workflow, nullptr, false)) {
  if (!whole_.is_object()) refuse("workflow", "a JSON object");
}

void PresetFields::refuse(const std::string& field, const std::string& expected) {
  throw PermanentError("preset_invalid", "preset: " + field + ": expected " + expected);
}

const json* PresetFields::find(const char* key) {
  known_.insert(key);
  const auto at = whole_.find(key);
  return at == whole_.end() || at->is_null() ? nullptr : &*at;
}

std::string PresetFields::text(const char* key) {
  const json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_string() || value->get_ref<const std::string&>().size() > kMostText) refuse(key, "a text of at most 100000 bytes");
  return value->get<std::string>();
}

std::string PresetFields::choice(const char* key, const std::vector<std::string_view>& choices) {
  if (find(key) == nullptr) return {};
  std::string word = text(key);
  if (std::find(choices.begin(), choices.end(), word) == choices.end()) refuse(key, fmt::format("one of {}", fmt::join(choices, ", ")));
  return word;
}

json PresetFields::object(const char* key) {
  const json* value = find(key);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) refuse(key, "an object");
  return *value;
}

std::string PresetFields::steps() {
  const json* value = find("steps");
  if (value == nullptr) return {};
  if (!value->is_array() || value->empty() || value->size() > kMostSteps) refuse("steps", "1 to 20 steps, as presets of our own have them");
  const json workflow = {{"steps", *value}};
  return workflow.dump();
}

void PresetFields::finish() const {
  for (const auto& [key, value] : whole_.items()) {
    if (known_.find(key) == known_.end()) refuse(provider_words(key), fmt::format("no such key, only {}", fmt::join(known_, ", ")));
  }
}

std::string fill_prompt(const std::string& preset, const std::string& words) {
  const std::string_view whole = preset.empty() ? kPlace : std::string_view(preset);
  const bool takes_words = whole.find(kPlace) != whole.npos;
  if (takes_words && words.find_first_not_of(" \t\r\n") == words.npos) {
    throw PermanentError("bad_payload", "prompt: expected words, which the preset has a place for");
  }
  if (!takes_words && !words.empty()) {
    throw PermanentError("bad_payload", "prompt: expected none, since the preset has no place for it, which is \"{prompt}\"");
  }
  std::string filled;
  std::size_t from = 0;
  // What the words themselves say is not looked into.
  for (std::size_t at = whole.find(kPlace); at != whole.npos; at = whole.find(kPlace, from)) {
    filled.append(whole, from, at - from).append(words);
    from = at + kPlace.size();
  }
  filled.append(whole, from, whole.npos);
  return filled;
}

std::string without_words(std::string message, const std::string& prompt, const std::string& words) {
  if (!repeats(message, words) && !repeats(message, prompt)) return message;
  return message.substr(0, message.find(':')) + ": its answer repeats the prompt, and is not shown";
}

}  // namespace rowcrew::generation
