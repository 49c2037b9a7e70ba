#include "gemini_images.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/http_answer.hpp>

namespace rowcrew::generation {
namespace {

using nlohmann::json;

GeminiImages api() {
  ImageApiConfig config;
  config.api_key = "AIza";
  config.base_url = "https://generativelanguage.googleapis.com";
  config.models["gemini-nano-banana-2.1"].estimate = 33600;
  return GeminiImages(std::move(config));
}

Work work(const std::string& workflow) {
  Work some;
  some.target = "/out/a.png";
  some.workflow = workflow;
  some.prompt = "a \"cat\"";
  return some;
}

std::string refusal(const std::string& workflow) {
  try {
    api().order(work(workflow));
  } catch (const PermanentError& error) {
    return error.code() + ": " + error.what();
  }
  return "";
}

CallName name() {
  CallName call;
  call.seed = 7;
  return call;
}

PictureAnswer read(const std::string& answer) { return api().read(json::parse(answer)); }

std::string candidate(const std::string& finish, const std::string& parts = "[]") {
  return R"({"candidates":[{"finishReason":")" + finish + R"(","content":{"parts":)" + parts + R"(}}],"responseId":"r1"})";
}

constexpr const char* kPart = R"({"inlineData":{"mimeType":"image/png","data":{"$bytes":5000}}})";

TEST_CASE("gemini: a preset that does not fit is refused by its field") {
  const std::string model = R"({"model":"gemini-nano-banana-2.1")";
  CHECK(refusal(model + "}").empty());
  CHECK(refusal(model + R"(,"aspect_ratio":"4:5","image_size":"2K","safety":{"harassment":"BLOCK_NONE"},"steps":[{"step":"sharpen"}]})").empty());
  CHECK(refusal(R"({"model":"other"})").find("preset: model:") != std::string::npos);
  CHECK(refusal(model + R"(,"aspect_ratio":"7:5"})").find("preset: aspect_ratio:") != std::string::npos);
  CHECK(refusal(model + R"(,"image_size":"8K"})").find("preset: image_size:") != std::string::npos);
  CHECK(refusal(model + R"(,"safety":{"boredom":"OFF"}})").find("preset: safety:") != std::string::npos);
  CHECK(refusal(model + R"(,"safety":{"harassment":"NEVER"}})").find("preset: safety.harassment:") != std::string::npos);
  CHECK(refusal(model + R"(,"seed":7})").find("preset: seed:") != std::string::npos);
}

TEST_CASE("gemini: a request is one JSON object, with and without the source's text in its middle") {
  const GeminiImages gemini = api();
  const PictureOrder order = gemini.order(work(R"({"model":"gemini-nano-banana-2.1","prompt":"Paint {prompt}","aspect_ratio":"3:2","safety":{"hate_speech":"OFF"}})"));
  const HttpRequest words = gemini.request(order, "", name());
  CHECK(words.url == "https://generativelanguage.googleapis.com/v1beta/models/gemini-nano-banana-2.1:generateContent");
  CHECK(header_of(words.headers, "x-goog-api-key") == "AIza");
  const json rest = json::parse(R"({"generationConfig":{"responseModalities":["TEXT","IMAGE"],"seed":7,"imageConfig":{"aspectRatio":"3:2"}},
    "safetySettings":[{"category":"HARM_CATEGORY_HATE_SPEECH","threshold":"OFF"}]})");
  json expected = rest;
  expected["contents"] = json::parse(R"([{"role":"user","parts":[{"text":"Paint a \"cat\""}]}])");
  CHECK(json::parse(words.body) == expected);
  CHECK(words.tail.empty());

  const HttpRequest edit = gemini.request(order, "/out/.a.77-source.part", name());
  CHECK(edit.file == "/out/.a.77-source.part");
  expected["contents"] = json::parse(R"([{"role":"user","parts":[{"text":"Paint a \"cat\""},{"inlineData":{"mimeType":"image/jpeg","data":"QUJD"}}]}])");
  CHECK(json::parse(edit.body + "QUJD" + edit.tail) == expected);
}

TEST_CASE("gemini: a preset without options sends none") {
  const GeminiImages gemini = api();
  const json sent = json::parse(gemini.request(gemini.order(work(R"({"model":"gemini-nano-banana-2.1"})")), "", name()).body);
  CHECK_FALSE(sent.contains("safetySettings"));
  CHECK_FALSE(sent["generationConfig"].contains("imageConfig"));
}

TEST_CASE("gemini: HTTP 200 is not an image, row by row") {
  struct Row {
    std::string answer;
    const char* code;
    int repeats;
  };
  std::vector<Row> rows;
  for (const char* reason : {"SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"}) {
    rows.push_back({std::string(R"({"promptFeedback":{"blockReason":")") + reason + "\"}}", "content_policy", 0});
  }
  for (const char* reason : {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "PROHIBITED_CONTENT", "SAFETY", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_RECITATION"}) {
    rows.push_back({candidate(reason), "content_policy", 1});
  }
  for (const char* reason : {"NO_IMAGE", "IMAGE_OTHER", "OTHER", "LANGUAGE"}) rows.push_back({candidate(reason), "gemini_no_picture", 2});
  rows.push_back({candidate("MAX_TOKENS"), "gemini_cut_off", 0});
  rows.push_back({candidate("STOP", R"([{"text":"I would rather not."}])"), "gemini_no_picture", 1});
  rows.push_back({candidate("STOP", std::string("[{\"thought\":true,") + (kPart + 1) + "]"), "gemini_no_picture", 1});
  rows.push_back({candidate("SOMETHING_NEW"), "gemini_no_picture", 1});
  for (const char* answer : {"{}", R"({"candidates":[]})", R"({"candidates":[{}]})", R"({"candidates":{"a":1}})", R"({"candidates":["x"]})"}) {
    rows.push_back({answer, "gemini_no_picture", 1});
  }
  for (const Row& row : rows) {
    CAPTURE(row.answer);
    const PictureAnswer answer = read(row.answer);
    CHECK(answer.pointer.empty());
    CHECK(answer.code == row.code);
    CHECK(answer.repeats == row.repeats);
    CHECK_FALSE(answer.message.empty());
  }
  CHECK(read(candidate("STOP", R"([{"text":"I would rather not."}])")).message == "gemini: made no picture, and said: I would rather not.");
}

TEST_CASE("gemini: the last picture that is no draft is taken") {
  const std::string draft = std::string("{\"thought\":true,") + (kPart + 1);
  const PictureAnswer answer = read(candidate("STOP", "[" + draft + R"(,{"text":"Here."},)" + kPart + "," + kPart + "," + draft + "]"));
  CHECK(answer.pointer == "/candidates/0/content/parts/3/inlineData/data");
  CHECK(answer.external_id == "r1");
  CHECK(read(R"({"candidates":[{"content":{"parts":[{"inlineData":{"data":"aGk="}}]}}]})").pointer == "/candidates/0/content/parts/0/inlineData/data");
  CHECK(read(candidate("SOMETHING_NEW", std::string("[") + kPart + "]")).pointer == "/candidates/0/content/parts/0/inlineData/data");
}

TEST_CASE("gemini: what it used is counted by modality, of refused calls as well") {
  const auto tokens = [](const std::string& usage, const std::string& rest = "") { return read(R"({"usageMetadata":)" + usage + rest + "}").tokens; };
  const Tokens full = tokens(R"({"promptTokenCount":270,"candidatesTokenCount":1130,"thoughtsTokenCount":5,"totalTokenCount":1405,
    "promptTokensDetails":[{"modality":"TEXT","tokenCount":12},{"modality":"IMAGE","tokenCount":258}],
    "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1120}]})");
  CHECK(full.known);
  CHECK(full.text_input == 12);
  CHECK(full.image_input == 258);
  CHECK(full.image_output == 1120);
  CHECK(full.text_output == 15);
  const Tokens blocked = tokens(R"({"promptTokenCount":12,"totalTokenCount":12})", R"(,"promptFeedback":{"blockReason":"SAFETY"})");
  CHECK(blocked.known);
  CHECK(blocked.text_input == 12);
  CHECK(blocked.image_output == 0);
  const Tokens bare = tokens(R"({"promptTokenCount":12,"candidatesTokenCount":1290})", std::string(R"(,"candidates":[{"content":{"parts":[)") + kPart + "]}}]");
  CHECK(bare.image_output == 1290);
  CHECK_FALSE(tokens("{}").known);
  CHECK_FALSE(tokens("[]").known);
  CHECK_FALSE(tokens("null").known);
}

}  // namespace
}  // namespace rowcrew::generation
