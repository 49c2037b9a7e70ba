#include <algorithm>
#include <nlohmann/json.hpp>

#include "provider_api.hpp"

namespace rowcrew::text {
namespace {

using nlohmann::json;
using End = Reading::End;

Usage read_usage(const json& usage) {
  Usage found;
  found.told = usage.contains("input_tokens") && usage.contains("output_tokens");
  found.cached = count_at(usage, "cache_read_input_tokens");
  const std::int64_t written = count_at(usage, "cache_creation_input_tokens");
  found.written_1h = std::min(written, count_at(object_at(usage, "cache_creation"), "ephemeral_1h_input_tokens"));
  found.written = written - found.written_1h;
  // Its input_tokens are those beside the cache.
  found.input = count_at(usage, "input_tokens") + found.cached + written;
  found.output = count_at(usage, "output_tokens");
  return found;
}

End end_of(const Reading& reading) {
  const std::string& stop = reading.stop;
  if (stop == "refusal") return End::refused;
  if (stop == "max_tokens" || stop == "model_context_window_exceeded") return End::cut;
  if (stop == "pause_turn") return End::paused;
  if (stop != "end_turn" && stop != "stop_sequence") return End::unexpected;
  return reading.text.empty() ? End::empty : End::whole;
}

}  // namespace

HttpRequest ask_anthropic(const Account& account, const Order& order) {
  HttpRequest request("POST", account.base_url + "/v1/messages");
  request.headers.emplace_back("x-api-key", account.key);
  request.headers.emplace_back("anthropic-version", "2023-06-01");
  request.headers.emplace_back("Content-Type", "application/json");
  json body = {{"model", order.model}, {"max_tokens", order.max_tokens}};
  if (!order.system.empty()) body["system"] = order.system;
  json messages = json::array();
  for (const Message& message : order.messages) messages.push_back(json{{"role", message.role}, {"content", message.content}});
  body["messages"] = std::move(messages);
  if (order.temperature) body["temperature"] = *order.temperature;
  if (!order.stop.empty()) body["stop_sequences"] = order.stop;
  if (!order.json_schema.empty()) {
    body["output_config"]["format"]["type"] = "json_schema";
    body["output_config"]["format"]["schema"] = json::parse(order.json_schema);
  }
  request.body = body.dump();
  return request;
}

Reading read_anthropic(const std::string& body) {
  Reading reading;
  const json answer = json::parse(body, nullptr, false);
  if (!answer.is_object()) return reading;
  reading.id = word_at(answer, "id");
  reading.model = word_at(answer, "model");
  reading.usage = read_usage(object_at(answer, "usage"));
  reading.stop = word_at(answer, "stop_reason");
  reading.because = word_at(object_at(answer, "stop_details"), "category");
  const auto content = answer.find("content");
  if (content == answer.end() || !content->is_array()) return reading;
  for (const json& block : *content) {
    if (word_at(block, "type") != "text") continue;
    const auto text = block.find("text");
    if (text != block.end() && text->is_string()) reading.text += text->get_ref<const std::string&>();
  }
  reading.end = end_of(reading);
  return reading;
}

}  // namespace rowcrew::text
