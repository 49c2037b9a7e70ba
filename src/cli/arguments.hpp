// The options of one command. Knows those that every command has: --database, --config, --help.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/positional_options.hpp>
#include <boost/program_options/variables_map.hpp>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/settings.hpp>

#include "pg/pool.hpp"

namespace rowcrew::cli {

class Arguments {
 public:
  /// `usage`: "enqueue TYPE [options]"; `text` tells in a sentence or two what the command does.
  Arguments(std::string_view usage, std::string_view text);

  Arguments& flag(const char* name, const char* text);
  Arguments& value(const char* name, const char* placeholder, const char* text);
  /// The next word that is no option. Required, unless --help is given.
  Arguments& word(const char* name);
  Arguments& optional_word(const char* name);

  /// False: --help was given and has been answered on `out`. Throws UsageError.
  bool parse(const std::vector<std::string>& args, std::ostream& out);

  bool has(const char* name) const { return found_.count(name) > 0; }
  std::optional<std::string> get(const char* name) const;
  std::string get(const char* name, std::string_view fallback) const;
  /// All three throw UsageError naming the option, its value and what was expected.
  std::optional<std::int64_t> integer(const char* name, std::int64_t min, std::int64_t max) const;
  std::optional<std::chrono::milliseconds> duration(const char* name,
                                                    std::chrono::milliseconds max) const;
  std::string choice(const char* name, std::string_view fallback,
                     const std::vector<std::string>& choices) const;

  /// From --database, the environment, the file of --config, in that order. Unknown keys of the
  /// file are not looked for: it may be another program's. Throws ConfigError.
  PoolOptions connection() const;
  /// --config, or empty.
  std::string config_file() const { return get("config", ""); }

 private:
  std::string usage_;
  std::string text_;
  boost::program_options::options_description visible_{"Options"};
  boost::program_options::options_description words_;
  boost::program_options::positional_options_description order_;
  std::vector<std::string> required_;
  boost::program_options::variables_map found_;
};

using Environment = std::map<std::string, std::string>;

/// The connection that a command line means, whatever else stands in it, with `environment` as it was before anybody
/// took secrets out of it. Throws as connection() does.
PoolOptions connection_of(const std::vector<std::string>& args, Environment environment);

}  // namespace rowcrew::cli
