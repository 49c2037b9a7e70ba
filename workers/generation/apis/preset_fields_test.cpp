#include "preset_fields.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

namespace rowcrew::generation {
namespace {

template <class Work>
std::string refusal(Work work) {
  try {
    work();
  } catch (const PermanentError& error) {
    return error.code() + ": " + error.what();
  }
  return "";
}

TEST_CASE("preset fields: what does not fit is refused by its name") {
  PresetFields fields(R"({"model":"m","size":7,"quality":"best","safety":[],"steps":[],"modle":"x"})");
  CHECK(fields.text("model") == "m");
  CHECK(fields.text("prompt").empty());
  CHECK(refusal([&] { fields.text("size"); }).find("preset_invalid: preset: size:") == 0);
  CHECK(refusal([&] { fields.choice("quality", {"low", "high"}); }) == "preset_invalid: preset: quality: expected one of low, high");
  CHECK(refusal([&] { fields.object("safety"); }).find("safety") != std::string::npos);
  CHECK(refusal([&] { fields.steps(); }).find("steps") != std::string::npos);
  CHECK(refusal([&] { fields.finish(); }).find("preset: modle: expected no such key, only model") != std::string::npos);
  CHECK(refusal([] { PresetFields none("[]"); }).find("preset_invalid") == 0);
}

TEST_CASE("preset fields: null is absent, steps are passed on as they are") {
  PresetFields fields(R"({"size":null,"steps":[{"step":"sharpen"}]})");
  CHECK(fields.choice("size", {"auto"}).empty());
  CHECK(nlohmann::json::parse(fields.steps()) == nlohmann::json::parse(R"({"steps":[{"step":"sharpen"}]})"));
  CHECK(refusal([&] { fields.finish(); }).empty());
}

TEST_CASE("prompt: words go where the preset has a place for them, and nowhere else") {
  CHECK(fill_prompt("", "a cat") == "a cat");
  CHECK(fill_prompt("A photo of {prompt}, at dusk. {prompt}!", "a cat") == "A photo of a cat, at dusk. a cat!");
  CHECK(fill_prompt("{prompt}", "say {prompt}") == "say {prompt}");
  CHECK(fill_prompt("A headshot.", "") == "A headshot.");
  CHECK(refusal([] { fill_prompt("A headshot.", "with a hat"); }).find("bad_payload") == 0);
  CHECK(refusal([] { fill_prompt("A photo of {prompt}", " \n"); }).find("bad_payload") == 0);
  CHECK(refusal([] { fill_prompt("", ""); }).find("bad_payload") == 0);
}

TEST_CASE("prompt: a provider that quotes the words is not quoted") {
  const std::string words = "my grandmother's kitchen in 1962";
  CHECK(without_words("openai: bad size", words, words) == "openai: bad size");
  CHECK(without_words("openai: cannot paint 'grandmother's kitchen'", words, words).find("kitchen") == std::string::npos);
  CHECK(without_words("x: Invalid value \"cat\"", "a photo of cat", "cat").find("cat") == std::string::npos);
  CHECK(without_words("x: refused", "", "") == "x: refused");
}

}  // namespace
}  // namespace rowcrew::generation
