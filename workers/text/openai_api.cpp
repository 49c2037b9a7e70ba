#include <nlohmann/json.hpp>

#include "provider_api.hpp"

namespace rowcrew::text {
namespace {

using nlohmann::json;
using End = Reading::End;

Usage read_usage(const json& usage) {
  Usage found;
  found.told = usage.contains("prompt_tokens") && usage.contains("completion_tokens");
  found.input = count_at(usage, "prompt_tokens");
  const json& details = object_at(usage, "prompt_tokens_details");
  found.cached = count_at(details, "cached_tokens");
  found.written = count_at(details, "cache_write_tokens");
  found.output = count_at(usage, "completion_tokens");
  return found;
}

End end_of(const Reading& reading, bool refused) {
  if (refused) return End::refused;
  if (reading.stop == "content_filter") return End::filtered;
  if (reading.stop == "length") return End::cut;
  if (reading.stop != "stop") return End::unexpected;
  return reading.text.empty() ? End::empty : End::whole;
}

}  // namespace

HttpRequest ask_openai(const Account& account, const Order& order) {
  HttpRequest request("POST", account.base_url + "/chat/completions");
  request.headers.emplace_back("Authorization", "Bearer " + account.key);
  request.headers.emplace_back("Content-Type", "application/json");
  if (!account.organization.empty()) request.headers.emplace_back("OpenAI-Organization", account.organization);
  if (!account.project.empty()) request.headers.emplace_back("OpenAI-Project", account.project);
  json body = {{"model", order.model}, {"max_completion_tokens", order.max_tokens}};
  json messages = json::array();
  if (!order.system.empty()) messages.push_back(json{{"role", "system"}, {"content", order.system}});
  for (const Message& message : order.messages) messages.push_back(json{{"role", message.role}, {"content", message.content}});
  body["messages"] = std::move(messages);
  if (order.temperature) body["temperature"] = *order.temperature;
  if (!order.stop.empty()) body["stop"] = order.stop;
  if (!order.json_schema.empty()) {
    json schema = {{"name", "answer"}, {"strict", true}};
    schema["schema"] = json::parse(order.json_schema);
    body["response_format"]["type"] = "json_schema";
    body["response_format"]["json_schema"] = std::move(schema);
  }
  request.body = body.dump();
  return request;
}

Reading read_openai(const std::string& body) {
  Reading reading;
  const json answer = json::parse(body, nullptr, false);
  if (!answer.is_object()) return reading;
  reading.id = word_at(answer, "id");
  reading.model = word_at(answer, "model");
  reading.usage = read_usage(object_at(answer, "usage"));
  const auto choices = answer.find("choices");
  if (choices == answer.end() || !choices->is_array() || choices->empty()) return reading;
  const json& choice = choices->front();
  const json& message = object_at(choice, "message");
  const auto content = message.find("content");
  if (content != message.end() && content->is_string()) reading.text = content->get<std::string>();
  reading.stop = word_at(choice, "finish_reason");
  const auto refusal = message.find("refusal");
  reading.end = end_of(reading, refusal != message.end() && refusal->is_string());
  return reading;
}

}  // namespace rowcrew::text
