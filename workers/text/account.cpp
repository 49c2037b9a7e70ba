#include "account.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <rowcrew/error.hpp>

namespace rowcrew::text {
namespace {

using namespace std::chrono_literals;

std::int64_t required_price(const Settings& section, std::string_view key) {
  if (!section.has(key)) throw ConfigError(fmt::format("{}: missing, expected a price per million such as 0.15", section.full(key)));
  return read_price(section, key);
}

Prices read_prices(const Settings& section) {
  Prices prices;
  prices.input = required_price(section, "input");
  prices.output = required_price(section, "output");
  prices.cached = read_price(section, "cached", prices.input);
  prices.written = read_price(section, "cache_write", prices.input);
  prices.written_1h = read_price(section, "cache_write_1h", prices.written);
  return prices;
}

Model read_model(const Settings& section) {
  Model model;
  model.prices = read_prices(section);
  model.max_output = section.integer("max_output", 4096, 1, 10'000'000);
  if (section.has("band")) {
    const Settings band = section.section("band");
    model.band = band.integer("above", 0, 1, 1'000'000'000);
    if (model.band == 0) throw ConfigError(fmt::format("{}: missing, expected a number of tokens", band.full("above")));
    model.above = read_prices(band);
  }
  return model;
}

/// As it may stand in a header and in a URL.
std::string printable(const Settings& section, std::string_view key, std::string value) {
  if (std::any_of(value.begin(), value.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7F; })) {
    throw ConfigError(fmt::format("{}: holds a blank or another character that no such value has", section.full(key)));
  }
  return value;
}

std::string read_url(const Settings& section, std::string_view fallback) {
  std::string url = printable(section, "base_url", section.text("base_url", fallback));
  while (url.ends_with('/')) url.pop_back();
  const bool absolute = url.starts_with("https://") || url.starts_with("http://");
  if (!absolute || url.find_first_of("?#@") != url.npos) {
    throw ConfigError(fmt::format("{}: expected a URL such as {}, without user, query or fragment", section.full("base_url"), fallback));
  }
  return url;
}

}  // namespace

std::int64_t cost_of(const Model& model, const Usage& usage) {
  const Prices& prices = model.band > 0 && usage.input > model.band ? model.above : model.prices;
  const std::int64_t special = std::max<std::int64_t>(usage.cached, 0) + std::max<std::int64_t>(usage.written, 0) +
                               std::max<std::int64_t>(usage.written_1h, 0);
  Cost cost;
  cost.add(usage.input - special, prices.input);
  cost.add(usage.cached, prices.cached);
  cost.add(usage.written, prices.written);
  cost.add(usage.written_1h, prices.written_1h);
  cost.add(usage.output, prices.output);
  return cost.micros();
}

Account read_account(const Settings& text, std::string_view provider) {
  const Settings section = text.section(provider);
  Account account;
  account.provider = provider;
  account.key = printable(section, "api_key", section.secret("api_key").value_or(""));
  account.timeout = section.duration("timeout", 5min, 1s, 1h);
  if (provider == "openai") {
    account.base_url = read_url(section, "https://api.openai.com/v1");
    account.organization = printable(section, "organization", section.text("organization", ""));
    account.project = printable(section, "project", section.text("project", ""));
  } else {
    account.base_url = read_url(section, "https://api.anthropic.com");
  }
  const Settings models = section.section("models");
  for (const std::string& name : models.names()) account.models.emplace(name, read_model(models.section(name)));
  return account;
}

}  // namespace rowcrew::text
