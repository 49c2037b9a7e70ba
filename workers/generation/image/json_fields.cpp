#include "json_fields.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "failure.hpp"

namespace rowcrew::image {
namespace {

using nlohmann::json;

// At most 40 printable characters of a value; nothing of a payload at length.
std::string shown_value(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 40) text = text.substr(0, 37) + "...";
  return text;
}

std::string range(double min, double max) {
  std::ostringstream out;
  out << min << " to " << max;
  return out.str();
}

}  // namespace

JsonFields::JsonFields(const json& object, std::string subject, std::string code)
    : object_(object), subject_(std::move(subject)), code_(std::move(code)) {
  if (!object_.is_object()) throw Failure(code_, subject_ + ": expected a JSON object");
}

void JsonFields::refuse(std::string_view key, const std::string& expected) const {
  const auto at = object_.find(key);
  const std::string found = at == object_.end() ? "is missing" : shown_value(*at) + " found";
  throw Failure(code_,
                subject_ + ": " + std::string(key) + ": " + found + ", expected " + expected);
}

const json* JsonFields::find(std::string_view key) {
  known_.emplace(key);
  const auto at = object_.find(key);
  return at == object_.end() ? nullptr : &*at;
}

std::string JsonFields::text(std::string_view key) {
  const json* value = find(key);
  if (value == nullptr || !value->is_string()) refuse(key, "a text");
  return value->get<std::string>();
}

std::string JsonFields::choice(std::string_view key, std::string_view fallback,
                               const std::vector<std::string>& choices) {
  const json* value = find(key);
  if (value == nullptr) return std::string(fallback);
  if (value->is_string()) {
    auto text = value->get<std::string>();
    if (std::find(choices.begin(), choices.end(), text) != choices.end()) return text;
  }
  std::string all;
  for (const std::string& word : choices) all += (all.empty() ? "" : ", ") + word;
  refuse(key, "one of " + all);
}

double JsonFields::number(std::string_view key, double fallback, double min, double max) {
  const json* value = find(key);
  if (value == nullptr) return fallback;
  if (value->is_number()) {
    const auto number = value->get<double>();
    if (std::isfinite(number) && number >= min && number <= max) return number;
  }
  refuse(key, "a number from " + range(min, max));
}

long long JsonFields::integer(std::string_view key, long long min, long long max) {
  const json* value = find(key);
  if (value != nullptr && value->is_number_integer()) {
    // Beyond 2^63 an unsigned number would turn negative.
    const bool fits = !value->is_number_unsigned() || value->get<std::uint64_t>() >> 63 == 0;
    const auto number = value->get<std::int64_t>();
    if (fits && number >= min && number <= max) return number;
  }
  refuse(key, "a whole number from " + std::to_string(min) + " to " + std::to_string(max));
}

long long JsonFields::integer(std::string_view key, long long fallback, long long min,
                              long long max) {
  return find(key) == nullptr ? fallback : integer(key, min, max);
}

const json& JsonFields::object(std::string_view key) {
  const json* value = find(key);
  if (value == nullptr || !value->is_object()) refuse(key, "a JSON object");
  return *value;
}

void JsonFields::finish() const {
  for (const auto& [key, value] : object_.items()) {
    if (known_.contains(key)) continue;
    throw Failure(code_, subject_ + ": unknown key " + shown_value(key));
  }
}

}  // namespace rowcrew::image
