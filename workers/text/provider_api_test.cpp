#include "provider_api.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <variant>

#include <rowcrew/error.hpp>
#include "support/kind_bench.hpp"

namespace rowcrew::text {
namespace {

using nlohmann::json;
using End = Reading::End;

Order order_of(const std::string& provider, json more = json::object()) {
  json payload = {{"provider", provider}, {"model", "m"}, {"prompt", "Hello"}, {"max_tokens", 100}};
  payload.update(more);
  return parse_order(payload, false);
}

Account account() {
  Account account;
  account.key = "sk-1";
  account.base_url = "https://api.example.com";
  return account;
}

std::string header(const HttpRequest& request, const std::string& name) {
  for (const auto& [key, value] : request.headers) {
    if (key == name) return value;
  }
  return "";
}

std::string openai(const std::string& finish, const std::string& message, const std::string& usage = R"("prompt_tokens":120,"completion_tokens":80)") {
  return R"({"id":"chatcmpl-1","model":"m-2026","object":"chat.completion","choices":[{"index":0,"message":)" + message + R"(,"finish_reason":)" + finish +
         R"(}],"usage":{)" + usage + "},\"new\":{}}";
}

std::string anthropic(const std::string& stop, const std::string& content, const std::string& more = "") {
  return R"({"id":"msg_1","type":"message","role":"assistant","model":"m-2026","content":)" + content + R"(,"stop_reason":)" + stop +
         R"(,"usage":{"input_tokens":100,"output_tokens":50)" + more + R"(},"new":1})";
}

TEST_CASE("text requests: openai gets what its chat completions take, and nothing that was not asked for") {
  Account mine = account();
  mine.organization = "org-1";
  const json more = {{"system", "Be brief."}, {"temperature", 0.25}, {"stop", "END"}, {"json_schema", json{{"type", "object"}}}};
  const HttpRequest request = ask_openai(mine, order_of("openai", more));
  CHECK(request.method == "POST");
  CHECK(request.url == "https://api.example.com/chat/completions");
  CHECK(header(request, "Authorization") == "Bearer sk-1");
  CHECK(header(request, "Content-Type") == "application/json");
  CHECK(header(request, "OpenAI-Organization") == "org-1");
  CHECK(header(request, "OpenAI-Project").empty());
  CHECK(json::parse(request.body) == json::parse(R"({"model":"m","max_completion_tokens":100,"temperature":0.25,"stop":["END"],
    "messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello"}],
    "response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":{"type":"object"}}}})"));
  CHECK(json::parse(ask_openai(mine, order_of("openai")).body) ==
        json::parse(R"({"model":"m","max_completion_tokens":100,"messages":[{"role":"user","content":"Hello"}]})"));
}

TEST_CASE("text requests: anthropic gets what its messages take, and nothing that was not asked for") {
  const json more = {{"system", "Be brief."}, {"temperature", 0.25}, {"stop", "END"}, {"json_schema", json{{"type", "object"}}}};
  const HttpRequest request = ask_anthropic(account(), order_of("anthropic", more));
  CHECK(request.url == "https://api.example.com/v1/messages");
  CHECK(header(request, "x-api-key") == "sk-1");
  CHECK(header(request, "anthropic-version") == "2023-06-01");
  CHECK(header(request, "Authorization").empty());
  CHECK(json::parse(request.body) == json::parse(R"({"model":"m","max_tokens":100,"temperature":0.25,"stop_sequences":["END"],"system":"Be brief.",
    "messages":[{"role":"user","content":"Hello"}],"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}})"));
  CHECK(json::parse(ask_anthropic(account(), order_of("anthropic")).body) ==
        json::parse(R"({"model":"m","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]})"));
}

TEST_CASE("text answers: openai's 200 is an answer only where it ended well") {
  const std::string said = R"({"role":"assistant","content":"Good day.","refusal":null,"annotations":[]})";
  const Reading whole = read_openai(openai("\"stop\"", said));
  CHECK(whole.end == End::whole);
  CHECK(whole.text == "Good day.");
  CHECK(whole.id == "chatcmpl-1");
  CHECK(whole.model == "m-2026");
  CHECK(whole.stop == "stop");
  CHECK(whole.usage.told);
  CHECK(whole.usage.input == 120);
  CHECK(whole.usage.output == 80);
  const std::tuple<const char*, std::string, End> rows[] = {
      {"\"length\"", said, End::cut},
      {"\"content_filter\"", said, End::filtered},
      {"\"tool_calls\"", R"({"content":null,"tool_calls":[]})", End::unexpected},
      {"\"function_call\"", said, End::unexpected},
      {"\"brand_new\"", said, End::unexpected},
      {"null", said, End::unexpected},
      {"\"stop\"", R"({"content":null,"refusal":"I cannot."})", End::refused},
      {"\"content_filter\"", R"({"content":null,"refusal":"I cannot."})", End::refused},
      {"\"stop\"", R"({"content":""})", End::empty},
      {"\"stop\"", R"({"content":null})", End::empty},
      {"\"stop\"", "{}", End::empty},
  };
  for (const auto& [finish, message, end] : rows) {
    CAPTURE(finish);
    CAPTURE(message);
    CHECK(read_openai(openai(finish, message)).end == end);
  }
  for (const char* text : {"", "{", "[]", "7", "{}", R"({"choices":[]})", R"({"choices":{}})", "<html>", "{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}"}) {
    CAPTURE(text);
    CHECK(read_openai(text).end == End::unreadable);
    CHECK_FALSE(read_openai(text).usage.told);
  }
  // What it counts is known even where nothing else is.
  CHECK(read_openai(R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":0}})").usage.input == 7);
}

TEST_CASE("text answers: anthropic's 200 is an answer only where it ended well") {
  const std::string said = R"([{"type":"thinking","thinking":"hm","signature":"x"},{"type":"text","text":"Good "},{"type":"new"},{"type":"text","text":"day."}])";
  const Reading whole = read_anthropic(anthropic("\"end_turn\"", said));
  CHECK(whole.end == End::whole);
  CHECK(whole.text == "Good day.");
  CHECK(whole.id == "msg_1");
  CHECK(whole.usage.told);
  const std::tuple<const char*, std::string, End> rows[] = {
      {"\"stop_sequence\"", said, End::whole},  {"\"max_tokens\"", said, End::cut},
      {"\"model_context_window_exceeded\"", said, End::cut}, {"\"tool_use\"", said, End::unexpected},
      {"\"pause_turn\"", said, End::paused},    {"\"refusal\"", said, End::refused},
      {"\"refusal\"", "[]", End::refused},      {"\"brand_new\"", said, End::unexpected},
      {"null", said, End::unexpected},          {"\"end_turn\"", "[]", End::empty},
      {"\"end_turn\"", R"([{"type":"thinking","thinking":"hm"}])", End::empty},
  };
  for (const auto& [stop, content, end] : rows) {
    CAPTURE(stop);
    CAPTURE(content);
    CHECK(read_anthropic(anthropic(stop, content)).end == end);
  }
  const Reading refused = read_anthropic(R"({"content":[],"stop_reason":"refusal","stop_details":{"type":"refusal","category":"bio","explanation":"You asked for a pathogen"}})");
  CHECK(refused.because == "bio");
  for (const char* text : {"", "{", "[]", "{}", R"({"content":"a text"})", R"({"stop_reason":"end_turn"})"}) {
    CAPTURE(text);
    CHECK(read_anthropic(text).end == End::unreadable);
  }
}

TEST_CASE("text usage: each provider counts caches its own way, and the whole prompt is told") {
  const Reading openai_read = read_openai(openai("\"stop\"", R"({"content":"a"})", R"("prompt_tokens":1000,"completion_tokens":80,
    "prompt_tokens_details":{"cached_tokens":600,"cache_write_tokens":100,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":32})"));
  CHECK(openai_read.usage.input == 1000);
  CHECK(openai_read.usage.cached == 600);
  CHECK(openai_read.usage.written == 100);
  const Reading anthropic_read = read_anthropic(anthropic("\"end_turn\"", R"([{"type":"text","text":"a"}])", R"(,"cache_creation_input_tokens":300,
    "cache_read_input_tokens":600,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"server_tool_use":null)"));
  CHECK(anthropic_read.usage.input == 1000);
  CHECK(anthropic_read.usage.cached == 600);
  CHECK(anthropic_read.usage.written == 100);
  CHECK(anthropic_read.usage.written_1h == 200);
  CHECK(anthropic_read.usage.output == 50);
  const Reading odd = read_openai(openai("\"stop\"", R"({"content":"a"})", R"("prompt_tokens":-5,"completion_tokens":1e300,"prompt_tokens_details":7)"));
  CHECK(odd.usage.input == 0);
  CHECK(odd.usage.output == 1'000'000'000'000);
}

TEST_CASE("text costs: by the prices of the band that the whole prompt chooses, rounded once") {
  const Settings settings = testing::settings_from(R"(
kinds:
  text:
    anthropic:
      models:
        haiku: {input: 0.10, cache_write: 0.125, cache_write_1h: 0.20, cached: 0.01, output: 0.50, max_output: 64000,
                band: {above: 100000, input: 0.50, cache_write: 0.625, cached: 0.05, output: 2.50}}
        plain: {input: 3, output: 15}
)");
  const Account account = read_account(settings.section("kinds").section("text"), "anthropic");
  const Model& haiku = account.models.at("haiku");
  Usage usage;
  usage.input = 100'000;
  usage.cached = 60'000;
  usage.written = 10'000;
  usage.written_1h = 5'000;
  usage.output = 1'000;
  // 25000 at 0.10, 60000 at 0.01, 10000 at 0.125, 5000 at 0.20, 1000 at 0.50: micros.
  CHECK(cost_of(haiku, usage) == 2500 + 600 + 1250 + 1000 + 500);
  usage.input = 100'001;
  // 25001 at 0.50, 60000 at 0.05, 10000 at 0.625, 5000 at 0.625 (an hour costs as minutes where nobody says), 1000 at 2.50: 12500.5 + ...
  CHECK(cost_of(haiku, usage) == 12501 + 3000 + 6250 + 3125 + 2500);
  const Model& plain = account.models.at("plain");
  CHECK(plain.max_output == 4096);
  CHECK(cost_of(plain, usage) == 100'001 * 3 + 15'000);  // caches at the price of input
  usage.cached = 200'000;
  CHECK(cost_of(plain, usage) == 215'000 * 3 + 15'000);  // more cached than there was: nothing is negative
}

TEST_CASE("text configuration: mistakes are found at start, by their key") {
  const auto error = [](const std::string& openai) -> std::string {
    const Settings settings = testing::settings_from("kinds: {text: {openai: {" + openai + "}}}");
    try {
      read_account(settings.section("kinds").section("text"), "openai");
      return "";
    } catch (const ConfigError& e) {
      return e.what();
    }
  };
  CHECK(error("").empty());
  CHECK(error("api_key: sk-1, base_url: \"http://127.0.0.1:9/v1/\", models: {gpt-5.4-mini: {input: 0.75, output: 4.50}}").empty());
  CHECK(error("models: {m: {input: 1}}").find("kinds.text.openai.models.m.output: missing") == 0);
  CHECK(error("models: {m: {output: 1}}").find("kinds.text.openai.models.m.input: missing") == 0);
  CHECK(error("models: {m: {input: 1, output: cheap}}").find("kinds.text.openai.models.m.output: cheap") == 0);
  CHECK(error("models: {m: {input: 1, output: 1, max_output: 0}}").find("kinds.text.openai.models.m.max_output") == 0);
  CHECK(error("models: {m: {input: 1, output: 1, band: {input: 2, output: 2}}}").find("kinds.text.openai.models.m.band.above: missing") == 0);
  CHECK(error("models: {m: {input: 1, output: 1, band: {above: 9, input: 2}}}").find("kinds.text.openai.models.m.band.output: missing") == 0);
  CHECK(error("base_url: \"ftp://x\"").find("kinds.text.openai.base_url") == 0);
  CHECK(error("base_url: \"https://key@x\"").find("kinds.text.openai.base_url") == 0);
  CHECK(error("api_key: \"two words\"") == "kinds.text.openai.api_key: holds a blank or another character that no such value has");
  CHECK(error("timeout: 2h").find("kinds.text.openai.timeout") == 0);
}

TEST_CASE("text outcomes: every end has a code, and what another call would not change fails") {
  const Order order = order_of("openai");
  Reading reading;
  reading.stop = "length";
  const auto code = [&](End end) -> std::string {
    reading.end = end;
    const Outcome outcome = outcome_of(reading, order, 7);
    if (const auto* failed = std::get_if<Failed>(&outcome)) return failed->code;
    if (const auto* retry = std::get_if<Retry>(&outcome)) return "again " + retry->code;
    return "";
  };
  CHECK(code(End::refused) == "openai_refused");
  CHECK(code(End::filtered) == "openai_filtered");
  CHECK(code(End::cut) == "openai_cut");
  CHECK(code(End::paused) == "openai_paused");
  CHECK(code(End::unexpected) == "openai_unexpected");
  CHECK(code(End::empty) == "again openai_empty");
  CHECK(code(End::unreadable) == "again openai_unreadable");
}

TEST_CASE("text results: JSON where a schema was asked for and it is some, else text that a database can store") {
  const auto result = [](const Order& order, std::string text, bool told = true) {
    Reading reading;
    reading.end = End::whole;
    reading.stop = "stop";
    reading.text = std::move(text);
    reading.usage.told = told;
    reading.usage.input = 12;
    reading.usage.output = 3;
    return json::parse(std::get<Completed>(outcome_of(reading, order, 45)).result);
  };
  CHECK(result(order_of("openai"), "Good day.") ==
        json::parse(R"({"text":"Good day.","stop":"stop","usage":{"input":12,"cached":0,"output":3},"cost_micros":45,"model":"m"})"));
  CHECK(result(order_of("openai"), "{\"a\":1}").at("text") == "{\"a\":1}");
  const Order shaped = order_of("openai", json{{"json_schema", json{{"type", "object"}}}});
  CHECK(result(shaped, "{\"a\":[1,2]}").at("json") == json::parse("{\"a\":[1,2]}"));
  CHECK_FALSE(result(shaped, "{\"a\":1}").contains("text"));
  CHECK(result(shaped, "Sure! {\"a\":1}").at("text") == "Sure! {\"a\":1}");
  CHECK(result(shaped, "{\"a\":\"\\u0000\"}").at("text") == "{\"a\":\"\\u0000\"}");
  CHECK(result(shaped, std::string(100'000, '[')).contains("text"));
  CHECK(result(shaped, std::string(200, '[') + std::string(200, ']')).contains("text"));
  CHECK(result(order_of("openai"), std::string("a\0b", 3)).at("text") == "ab");
  CHECK(result(order_of("openai"), "a", false).at("usage").at("estimated") == true);
}

TEST_CASE("text usage: what a provider does not tell is estimated, the more the less is known") {
  const Order order = order_of("openai", json{{"system", "1234567"}});  // 12 bytes
  Reading reading;
  reading.text = std::string(40, 'x');
  reading.end = End::whole;
  complete_usage(reading, order);
  CHECK_FALSE(reading.usage.told);
  CHECK(reading.usage.input == 3);
  CHECK(reading.usage.output == 10);
  reading.end = End::cut;
  complete_usage(reading, order);
  CHECK(reading.usage.output == 100);
  reading.end = End::whole;
  reading.text = std::string(4000, 'x');
  complete_usage(reading, order);
  CHECK(reading.usage.output == 100);
  reading.usage.told = true;
  reading.usage.output = 1;
  complete_usage(reading, order);
  CHECK(reading.usage.output == 1);
}

}  // namespace
}  // namespace rowcrew::text
