#include "image_bill.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/price.hpp>

namespace rowcrew::generation {
namespace {

// It goes into URLs.
bool is_model_name(const std::string& name) {
  return !name.empty() && name.size() <= 100 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

}  // namespace

Models read_models(const Settings& provider) {
  const Settings section = provider.section("models");
  Models models;
  for (const std::string& name : section.names()) {
    if (!is_model_name(name)) {
      throw ConfigError(section.full(name) + ": found as the name of a model, expected letters, digits, '-', '_' and '.'");
    }
    const Settings model = section.section(name);
    ModelPrices prices;
    prices.text_input = read_price(model, "text_input");
    prices.image_input = read_price(model, "image_input");
    prices.text_output = read_price(model, "text_output");
    prices.image_output = read_price(model, "image_output");
    prices.estimate = read_price(model, "estimate");
    models.emplace(name, prices);
  }
  if (models.empty()) throw ConfigError(section.full("") + " names no model, expected those that may be used, each with its prices");
  return models;
}

Bill bill_for(const ModelPrices& prices, const Tokens& tokens) {
  Bill bill;
  const bool by_tokens = prices.text_input + prices.image_input + prices.text_output + prices.image_output > 0;
  if (tokens.known) {
    const nlohmann::json units = {{"text_input", tokens.text_input},
                                  {"image_input", tokens.image_input},
                                  {"text_output", tokens.text_output},
                                  {"image_output", tokens.image_output}};
    bill.units = units.dump();
  }
  if (!tokens.known || !by_tokens) {
    bill.cost_micros = prices.estimate;
    bill.estimated = true;
    return bill;
  }
  Cost cost;
  cost.add(tokens.text_input, prices.text_input);
  cost.add(tokens.image_input, prices.image_input);
  cost.add(tokens.text_output, prices.text_output);
  cost.add(tokens.image_output, prices.image_output);
  bill.cost_micros = cost.micros();
  return bill;
}

}  // namespace rowcrew::generation
