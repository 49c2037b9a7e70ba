// Reads a preset's workflow key by key, for providers whose presets are one flat JSON object: pure.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew::generation {

/// Everything here throws PermanentError("preset_invalid") that names the field.
class PresetFields {
 public:
  /// `workflow`: JSON text.
  explicit PresetFields(const std::string& workflow);

  /// Empty when it is absent.
  std::string text(const char* key);
  /// One of `choices`, or empty when it is absent.
  std::string choice(const char* key, const std::vector<std::string_view>& choices);
  /// Null when it is absent.
  nlohmann::json object(const char* key);
  /// As Development::workflow wants it: {"steps": [...]}, or empty without steps.
  std::string steps();
  /// Unknown keys are errors: a typo must not cost money.
  void finish() const;

  [[noreturn]] static void refuse(const std::string& field, const std::string& expected);

 private:
  const nlohmann::json* find(const char* key);

  nlohmann::json whole_;
  std::set<std::string, std::less<>> known_;
};

/// The preset's prompt with the job's words where it says "{prompt}"; a preset without a prompt takes the job's words alone. Throws
/// PermanentError("bad_payload") when words are missing, or when there is no place for those that came.
std::string fill_prompt(const std::string& preset, const std::string& words);

/// `message` unless it repeats what `prompt` or `words` say: providers quote what they refuse.
std::string without_words(std::string message, const std::string& prompt, const std::string& words);

}  // namespace rowcrew::generation
