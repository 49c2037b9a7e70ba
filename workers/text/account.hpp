// The configuration of one provider: where it is, the key, and which models may be used at which prices.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <rowcrew/price.hpp>
#include <rowcrew/settings.hpp>

namespace rowcrew::text {

/// Tokens of one call, whatever a provider calls them.
struct Usage {
  Usage() = default;
  bool told = false;            ///< false: all of it is an estimate
  std::int64_t input = 0;       ///< the whole prompt: what was read from a cache or written into one included
  std::int64_t cached = 0;      ///< of it read from a cache
  std::int64_t written = 0;     ///< of it written into a cache for minutes
  std::int64_t written_1h = 0;  ///< of it written into a cache for an hour
  std::int64_t output = 0;      ///< hidden reasoning included
};

/// Micros per million tokens.
struct Prices {
  Prices() = default;
  std::int64_t input = 0;
  std::int64_t cached = 0;
  std::int64_t written = 0;
  std::int64_t written_1h = 0;
  std::int64_t output = 0;
};

struct Model {
  Model() = default;
  Prices prices;
  std::int64_t band = 0;  ///< prompts of more tokens than this cost `above`; 0: none do
  Prices above;
  std::int64_t max_output = 0;
};

/// By the prices of its band, which the whole prompt chooses; rounded once.
std::int64_t cost_of(const Model& model, const Usage& usage);

struct Account {
  Account() = default;
  std::string provider;
  std::string key;  ///< empty: this node has none
  std::string base_url;  ///< without a slash at its end
  std::string organization;
  std::string project;
  std::chrono::milliseconds timeout{};
  std::map<std::string, Model, std::less<>> models;
};

/// Reads kinds.text.<provider>. Throws ConfigError.
Account read_account(const Settings& text, std::string_view provider);

}  // namespace rowcrew::text
