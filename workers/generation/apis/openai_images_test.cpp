#include "openai_images.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/http_answer.hpp>

namespace rowcrew::generation {
namespace {

using nlohmann::json;

OpenaiImages api() {
  ImageApiConfig config;
  config.api_key = "sk-test";
  config.base_url = "https://api.openai.com/v1";
  config.models["gpt-image-2"].estimate = 40000;
  return OpenaiImages(std::move(config), "org-1", "proj-1");
}

Work work(const std::string& workflow, const std::string& prompt = "a cat") {
  Work some;
  some.target = "/out/a.png";
  some.workflow = workflow;
  some.prompt = prompt;
  return some;
}

std::string refusal(const std::string& workflow, const std::string& prompt = "a cat") {
  try {
    api().order(work(workflow, prompt));
  } catch (const PermanentError& error) {
    return error.code() + ": " + error.what();
  }
  return "";
}

std::string header(const HttpRequest& request, const std::string& lower) { return std::string(header_of(request.headers, lower)); }

CallName name() {
  CallName call;
  call.id = "job_queue:1:1";
  call.boundary = 0xAB;
  return call;
}

TEST_CASE("openai: a preset that does not fit is refused by its field") {
  CHECK(refusal(R"({"model":"gpt-image-2"})").empty());
  CHECK(refusal(R"({})").find("preset_invalid: preset: model: expected one that kinds.generation.openai.models names with its prices: gpt-image-2") == 0);
  CHECK(refusal(R"({"model":"dall-e-2"})").find("preset: model:") != std::string::npos);
  for (const char* size : {"1x1", "1024", "1000x1000", "1024x4096", "64x1024", "1024x1024x3", "-16x16", ""}) {
    CAPTURE(size);
    const bool allowed = std::string(size).empty();
    CHECK(refusal(R"({"model":"gpt-image-2","size":")" + std::string(size) + "\"}").find("preset: size:") == (allowed ? std::string::npos : std::string("preset_invalid: ").size()));
  }
  CHECK(refusal(R"({"model":"gpt-image-2","size":"1536x1024","quality":"high","background":"transparent","format":"webp"})").empty());
  CHECK(refusal(R"({"model":"gpt-image-2","background":"transparent","format":"jpeg"})").find("preset: format:") != std::string::npos);
  CHECK(refusal(R"({"model":"gpt-image-2","quality":"hd"})").find("preset: quality:") != std::string::npos);
  CHECK(refusal(R"({"model":"gpt-image-2","n":4})").find("preset: n:") != std::string::npos);
  CHECK(refusal(R"({"model":"gpt-image-2"})", std::string(32001, 'a')).find("bad_payload") == 0);
  std::string umlauts;
  for (int i = 0; i < 32000; ++i) umlauts += "\xC3\xA4";
  CHECK(refusal(R"({"model":"gpt-image-2"})", umlauts).empty());
}

TEST_CASE("openai: words alone are generated, with what the preset says and nothing else") {
  const OpenaiImages openai = api();
  const PictureOrder order = openai.order(work(R"({"model":"gpt-image-2","prompt":"A photo of {prompt}","size":"1024x1024","quality":"low"})"));
  const HttpRequest request = openai.request(order, "", name());
  CHECK(request.method == "POST");
  CHECK(request.url == "https://api.openai.com/v1/images/generations");
  CHECK(header(request, "authorization") == "Bearer sk-test");
  CHECK(header(request, "openai-organization") == "org-1");
  CHECK(header(request, "openai-project") == "proj-1");
  CHECK(header(request, "x-client-request-id") == "job_queue:1:1");
  CHECK(json::parse(request.body) == json::parse(R"({"model":"gpt-image-2","prompt":"A photo of a cat","n":1,"size":"1024x1024","quality":"low"})"));
  CHECK(request.file.empty());
}

TEST_CASE("openai: a source is edited, its bytes between the fields and the last boundary") {
  const OpenaiImages openai = api();
  const PictureOrder order = openai.order(work(R"({"model":"gpt-image-2","prompt":"A \"headshot\"\nof {prompt}"})", "--rowcrew"));
  const HttpRequest request = openai.request(order, "/out/.a.png.77-source.part", name());
  CHECK(request.url == "https://api.openai.com/v1/images/edits");
  CHECK(header(request, "content-type") == "multipart/form-data; boundary=rowcrew-00000000000000ab");
  CHECK(request.file == "/out/.a.png.77-source.part");
  const std::string expected =
      "--rowcrew-00000000000000ab\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-image-2\r\n"
      "--rowcrew-00000000000000ab\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n"
      "--rowcrew-00000000000000ab\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nA \"headshot\"\nof --rowcrew\r\n"
      "--rowcrew-00000000000000ab\r\nContent-Disposition: form-data; name=\"image\"; filename=\"image.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n";
  CHECK(request.body == expected);
  CHECK(request.tail == "\r\n--rowcrew-00000000000000ab--\r\n");
}

TEST_CASE("openai: an answer holds a picture and what it used, or it does not") {
  const OpenaiImages openai = api();
  const auto read = [&](const char* answer) { return openai.read(json::parse(answer)); };
  const PictureAnswer full = read(R"({"created":1,"data":[{"b64_json":{"$bytes":400000}}],"usage":{"total_tokens":4210,"input_tokens":50,"output_tokens":4160,
    "input_tokens_details":{"text_tokens":40,"image_tokens":10},"output_tokens_details":{"image_tokens":4150,"text_tokens":10}}})");
  CHECK(full.pointer == "/data/0/b64_json");
  CHECK(full.tokens.known);
  CHECK(full.tokens.text_input == 40);
  CHECK(full.tokens.image_input == 10);
  CHECK(full.tokens.image_output == 4150);
  CHECK(full.tokens.text_output == 10);
  const PictureAnswer bare = read(R"({"data":[{"b64_json":"iVBOR"}],"usage":{"input_tokens":50,"output_tokens":4160}})");
  CHECK(bare.pointer == "/data/0/b64_json");
  CHECK(bare.tokens.text_input == 50);
  CHECK(bare.tokens.image_output == 4160);
  for (const char* answer : {R"({})", R"({"data":[]})", R"({"data":null})", R"({"data":[{"b64_json":""}]})", R"({"data":[{"url":"https://x"}]})", R"({"data":["x"]})"}) {
    CAPTURE(answer);
    const PictureAnswer none = read(answer);
    CHECK(none.pointer.empty());
    CHECK(none.code == "openai_no_picture");
    CHECK(none.repeats == 1);
    CHECK_FALSE(none.tokens.known);
  }
  const PictureAnswer odd = read(R"({"data":[],"usage":{"input_tokens":-5,"output_tokens":18446744073709551615,"input_tokens_details":[]}})");
  CHECK(odd.tokens.text_input == 0);
  CHECK(odd.tokens.image_output == 1'000'000'000'000);
}

TEST_CASE("openai: a picture withheld after the work is billed, a prompt refused before is not") {
  const OpenaiImages openai = api();
  HttpResponse response;
  response.status = 400;
  response.body = R"({"error":{"code":"moderation_blocked","type":"image_generation_user_error","message":"no","moderation_details":{"moderation_stage":"output"}}})";
  CHECK(openai.refused_after_work(response));
  response.body = R"({"error":{"code":"moderation_blocked","moderation_details":{"moderation_stage":"input"}}})";
  CHECK_FALSE(openai.refused_after_work(response));
  response.body = R"({"error":{"code":"moderation_blocked","moderation_details":"output"}})";
  CHECK_FALSE(openai.refused_after_work(response));
  response.body = "<html>";
  CHECK_FALSE(openai.refused_after_work(response));
}

TEST_CASE("image bill: tokens by their prices, else the estimate and said so") {
  ModelPrices prices;
  prices.text_input = 5'000'000;
  prices.image_input = 8'000'000;
  prices.image_output = 30'000'000;
  prices.estimate = 40'000;
  Tokens tokens;
  CHECK(bill_for(prices, tokens).cost_micros == 40'000);
  CHECK(bill_for(prices, tokens).estimated);
  tokens.known = true;
  tokens.text_input = 40;
  tokens.image_input = 10;
  tokens.image_output = 4160;
  const Bill bill = bill_for(prices, tokens);
  CHECK(bill.cost_micros == 200 + 80 + 124'800);
  CHECK_FALSE(bill.estimated);
  CHECK(json::parse(bill.units)["image_output"] == 4160);
  ModelPrices by_piece;
  by_piece.estimate = 33'600;
  CHECK(bill_for(by_piece, tokens).cost_micros == 33'600);
  CHECK(bill_for(by_piece, tokens).estimated);
}

}  // namespace
}  // namespace rowcrew::generation
