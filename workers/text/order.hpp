// The payload of a `text` job: pure.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew::text {

struct Message {
  Message() = default;
  std::string role;  ///< user or assistant
  std::string content;
};

/// What one job asks for, with its form checked; whether the model is to be had is for the configuration to say.
struct Order {
  Order() = default;
  std::string provider;
  std::string model;
  std::string system;  ///< empty: none
  std::vector<Message> messages;
  std::int64_t max_tokens = 0;
  std::optional<double> temperature;
  std::string json_schema;  ///< JSON text; empty: any text will do
  std::vector<std::string> stop;

  /// Of everything that is sent and counted.
  std::size_t bytes() const;
  /// Whether `words` hold twenty bytes running of what was sent: a provider may quote it, and no log may.
  bool is_quoted_in(std::string_view words) const;
};

/// `columns`: of a row of processing_jobs, {"provider", "prompt", "inputs": {the rest}} beside other columns. Throws
/// PermanentError("bad_payload") that names the field.
Order parse_order(const nlohmann::json& payload, bool columns);

/// The error of parse_order.
[[noreturn]] void refuse(std::string_view field, std::string_view sentence);

}  // namespace rowcrew::text
