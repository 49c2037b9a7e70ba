#include "order.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

namespace rowcrew::text {
namespace {

using nlohmann::json;

json least() { return json{{"provider", "openai"}, {"model", "gpt"}, {"prompt", "Hello"}, {"max_tokens", 10}}; }

/// The message of the refusal; empty when there is none.
std::string refusal(const json& payload, bool columns = false) {
  try {
    parse_order(payload, columns);
    return "";
  } catch (const PermanentError& error) {
    CHECK(error.code() == "bad_payload");
    return error.what();
  }
}

std::string refusal_with(const char* key, const json& value) {
  json payload = least();
  payload[key] = value;
  return refusal(payload);
}

TEST_CASE("text order: what a payload says, a prompt being one message of the user") {
  const Order order = parse_order(least(), false);
  CHECK(order.provider == "openai");
  CHECK(order.model == "gpt");
  REQUIRE(order.messages.size() == 1);
  CHECK(order.messages[0].role == "user");
  CHECK(order.messages[0].content == "Hello");
  CHECK(order.max_tokens == 10);
  CHECK_FALSE(order.temperature);
  CHECK(order.stop.empty());
  CHECK(order.bytes() == 5);
  json more = least();
  more.erase("prompt");
  more["system"] = "Be brief.";
  more["messages"] = json::parse(R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}])");
  more["temperature"] = 0.5;
  more["stop"] = "END";
  more["json_schema"] = json{{"type", "object"}};
  const Order whole = parse_order(more, false);
  CHECK(whole.system == "Be brief.");
  CHECK(whole.messages[1].role == "assistant");
  CHECK(whole.temperature == 0.5);
  CHECK(whole.stop == std::vector<std::string>{"END"});
  CHECK(whole.json_schema == R"({"type":"object"})");
}

TEST_CASE("text order: a row of processing_jobs has provider and prompt in columns, the rest in inputs") {
  const json row = json::parse(R"({"type":"text","provider":"anthropic","external_id":null,"prompt":"Hello",
                                   "inputs":{"model":"claude","max_tokens":5}})");
  const Order order = parse_order(row, true);
  CHECK(order.provider == "anthropic");
  CHECK(order.model == "claude");
  CHECK(order.messages.at(0).content == "Hello");
  json twice = row;
  twice["inputs"]["prompt"] = "Other";
  CHECK(refusal(twice, true) == "text payload: inputs.prompt: unknown, expected it in the column prompt");
  json both = row;
  both["inputs"]["messages"] = json::array();
  CHECK(refusal(both, true).find("one of both") != std::string::npos);
  json misspelt = row;
  misspelt["inputs"]["max_token"] = 1;
  CHECK(refusal(misspelt, true).find("inputs.max_token: unknown") != std::string::npos);
  json listed = row;
  listed["prompt"] = nullptr;
  listed["inputs"]["messages"] = json::parse(R"([{"role":"user","content":"a"}])");
  CHECK(parse_order(listed, true).messages.at(0).content == "a");
}

TEST_CASE("text order: what does not fit is refused by the name of its field, and never quoted") {
  const auto names = [](const std::string& message, const char* field) {
    CAPTURE(message);
    CHECK(message.starts_with(std::string("text payload: ") + field));
  };
  for (const char* key : {"provider", "model", "max_tokens"}) {
    json payload = least();
    payload.erase(key);
    names(refusal(payload), key);
  }
  names(refusal_with("provider", "grok"), "provider: expected openai or anthropic");
  names(refusal_with("model", ""), "model");
  names(refusal_with("model", std::string(300, 'x')), "model");
  for (const json& value : {json(0), json(-1), json(1.5), json("9"), json(nullptr), json(18446744073709551615U)}) names(refusal_with("max_tokens", value), "max_tokens");
  for (const json& value : {json(-0.1), json(2.1), json("1"), json(true)}) names(refusal_with("temperature", value), "temperature");
  for (const json& value : {json(""), json(7)}) names(refusal_with("prompt", value), "prompt");
  names(refusal_with("system", 7), "system");
  names(refusal_with("json_schema", "object"), "json_schema");
  for (const json& value : {json(""), json(7), json::array(), json::parse(R"(["a","b","c","d","e"])"), json::parse(R"(["a",""])")}) {
    names(refusal_with("stop", value), "stop");
  }
  names(refusal_with("promt", "secret words"), "promt: unknown");
  const std::string odd = refusal_with((std::string(63, 'x') + "\u00e4\n").c_str(), 1);
  CHECK(odd.starts_with("text payload: " + std::string(63, 'x') + ": unknown"));  // never half a character
  json payload = least();
  payload.erase("prompt");
  names(refusal(payload), "prompt: expected it or messages");
  const std::pair<const char*, const char*> lists[] = {
      {"7", "messages"}, {"[]", "messages"}, {"[7]", "messages[0]"}, {R"([{"role":"user"}])", "messages[0]"},
      {R"([{"role":"system","content":"secret words"}])", "messages[0].role"}, {R"([{"role":"user","content":["secret words"]}])", "messages[0].content"},
      {R"([{"role":"user","content":"a","name":"b"}])", "messages[0]"}, {R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])", "messages"}};
  for (const auto& [text, field] : lists) {
    payload["messages"] = json::parse(text);
    names(refusal(payload), field);
    CHECK(refusal(payload).find("secret") == std::string::npos);
  }
  json hot = least();
  hot["provider"] = "anthropic";
  hot["temperature"] = 1.5;
  names(refusal(hot), "temperature: expected a number from 0 to 1");
}

TEST_CASE("text order: words of a provider that quote the prompt are known") {
  json payload = least();
  payload["prompt"] = "Write about the merger of Acme and Initech, in confidence";
  payload["system"] = "Password: hunter2";
  const Order order = parse_order(payload, false);
  CHECK(order.is_quoted_in("bad input: 'about the merger of Acme and In...'"));
  CHECK(order.is_quoted_in("you said Password: hunter2"));
  CHECK_FALSE(order.is_quoted_in("messages.0.content: text is too long"));
  CHECK_FALSE(order.is_quoted_in(""));
  CHECK_FALSE(parse_order(least(), false).is_quoted_in("Hello? That is no model."));
  payload["prompt"] = "0123456789abcdefghij";
  const Order edges = parse_order(payload, false);
  CHECK(edges.is_quoted_in("0123456789abcdefghij"));
  CHECK(edges.is_quoted_in("x 0123456789abcdefghij"));
  CHECK(edges.is_quoted_in("0123456789abcdefghij x"));
  CHECK_FALSE(edges.is_quoted_in("0123456789abcdefghiJ"));
  CHECK_FALSE(edges.is_quoted_in("0123456789abcdefghi"));
}

TEST_CASE("text order: whether words quote a prompt of megabytes is seen in a moment") {
  json payload = least();
  payload["prompt"] = std::string(10'000'000, 'a') + "the merger of Acme and Initech";
  const Order order = parse_order(payload, false);
  const std::string near = std::string(280, 'a').replace(19, 1, "b").replace(39, 1, "b");  // many windows that almost are
  const auto began = std::chrono::steady_clock::now();
  CHECK_FALSE(order.is_quoted_in("prompt is too long: 210000 tokens > 200000 maximum"));
  CHECK(order.is_quoted_in("near: the merger of Acme and"));
  CHECK(order.is_quoted_in(near));
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(1));
}

}  // namespace
}  // namespace rowcrew::text
