#include "cli/arguments.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <ostream>
#include <variant>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "base/units.hpp"
#include "pg/pool_settings.hpp"

namespace rowcrew::cli {
namespace {

namespace po = boost::program_options;

[[noreturn]] void refuse(const char* name, const std::string& found, std::string_view expected) {
  throw UsageError(fmt::format("--{}: {}, expected {}", name, shown(found), expected));
}

constexpr int kStyle = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;

PoolOptions connection_from(std::string file, const std::optional<std::string>& url, Environment environment) {
  ConfigSources sources;
  sources.file = std::move(file);
  sources.env = std::move(environment);
  if (url) sources.flags["database.url"] = *url;
  return read_pool_options(load_config(sources), "rowcrew");
}

}  // namespace

Arguments::Arguments(std::string_view usage, std::string_view text) : usage_(usage), text_(text) {
  value("database", "URL", "libpq URI; better ROWCREW_DATABASE_URL, which other users cannot see");
  value("config", "FILE", "take database.* from a configuration file");
  visible_.add_options()("help,h", "print this");
}

Arguments& Arguments::flag(const char* name, const char* text) {
  visible_.add_options()(name, text);
  return *this;
}

Arguments& Arguments::value(const char* name, const char* placeholder, const char* text) {
  visible_.add_options()(name, po::value<std::string>()->value_name(placeholder), text);
  return *this;
}

Arguments& Arguments::word(const char* name) {
  required_.emplace_back(name);
  return optional_word(name);
}

Arguments& Arguments::optional_word(const char* name) {
  words_.add_options()(name, po::value<std::string>());
  order_.add(name, 1);
  return *this;
}

bool Arguments::parse(const std::vector<std::string>& args, std::ostream& out) {
  po::options_description all;
  all.add(visible_).add(words_);
  try {
    po::store(po::command_line_parser(args)
                  .options(all)
                  .positional(order_)
                  .style(kStyle)
                  .run(),
              found_);
  } catch (const po::error& e) {
    throw UsageError(fmt::format("{} (usage: rowcrew {})", e.what(), usage_));
  }
  if (has("help")) {
    out << "Usage: rowcrew " << usage_ << "\n\n" << text_ << "\n\n" << visible_;
    return false;
  }
  for (const std::string& name : required_) {
    if (has(name.c_str())) continue;
    throw UsageError(fmt::format("{}: missing (usage: rowcrew {})", name, usage_));
  }
  return true;
}

std::optional<std::string> Arguments::get(const char* name) const {
  if (!has(name)) return std::nullopt;
  return found_[name].as<std::string>();
}

std::string Arguments::get(const char* name, std::string_view fallback) const {
  return get(name).value_or(std::string(fallback));
}

std::optional<std::int64_t> Arguments::integer(const char* name, std::int64_t min,
                                               std::int64_t max) const {
  const auto text = get(name);
  if (!text) return std::nullopt;
  const auto scanned = scan_integer(*text);
  const auto* number = std::get_if<std::int64_t>(&scanned);
  if (number == nullptr || *number < min || *number > max) {
    refuse(name, *text, fmt::format("a whole number, {} to {}", min, max));
  }
  return *number;
}

std::optional<std::chrono::milliseconds> Arguments::duration(const char* name,
                                                             std::chrono::milliseconds max) const {
  const auto text = get(name);
  if (!text) return std::nullopt;
  const auto scanned = scan_duration(*text);
  const auto* span = std::get_if<std::chrono::milliseconds>(&scanned);
  if (span == nullptr || *span > max) {
    refuse(name, *text, fmt::format("a duration such as 30s, at most {}", format_duration(max)));
  }
  return *span;
}

std::string Arguments::choice(const char* name, std::string_view fallback,
                              const std::vector<std::string>& choices) const {
  const std::string text = get(name, fallback);
  if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
    refuse(name, text, fmt::format("one of {}", fmt::join(choices, ", ")));
  }
  return text;
}

PoolOptions Arguments::connection() const {
  return connection_from(config_file(), get("database"), rowcrew_environment());
}

PoolOptions connection_of(const std::vector<std::string>& args, Environment environment) {
  po::options_description ours;
  ours.add_options()("database", po::value<std::string>())("config", po::value<std::string>());
  po::variables_map found;
  try {
    po::store(po::command_line_parser(args).options(ours).style(kStyle).allow_unregistered().run(), found);
  } catch (const po::error& e) {
    throw UsageError(e.what());
  }
  const auto get = [&](const char* name) { return found.count(name) > 0 ? std::optional(found[name].as<std::string>()) : std::nullopt; };
  return connection_from(get("config").value_or(""), get("database"), std::move(environment));
}

}  // namespace rowcrew::cli
