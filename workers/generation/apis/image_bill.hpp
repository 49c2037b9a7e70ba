// What calls of picture models cost, by configured prices: pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <rowcrew/settings.hpp>

namespace rowcrew::generation {

/// Micros per million tokens; `estimate` is micros per call.
struct ModelPrices {
  ModelPrices() = default;
  std::int64_t text_input = 0;
  std::int64_t image_input = 0;
  std::int64_t text_output = 0;
  std::int64_t image_output = 0;
  std::int64_t estimate = 0;
};

/// By the model's name: whom the configuration does not name nobody has priced, and nobody may use.
using Models = std::map<std::string, ModelPrices, std::less<>>;

/// The section `models` of a provider. Throws ConfigError, also where there is none.
Models read_models(const Settings& provider);

/// What a provider says that a call used.
struct Tokens {
  Tokens() = default;
  bool known = false;
  std::int64_t text_input = 0;
  std::int64_t image_input = 0;
  std::int64_t text_output = 0;
  std::int64_t image_output = 0;
};

struct Bill {
  Bill() = default;
  std::int64_t cost_micros = 0;
  bool estimated = false;
  std::string units = "{}";
};

/// By tokens where the provider tells them and the model has a price for any; else the estimate.
Bill bill_for(const ModelPrices& prices, const Tokens& tokens);

}  // namespace rowcrew::generation
