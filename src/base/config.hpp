// Loads one YAML file into Settings and finds what nobody asked for. The only place that knows
// yaml-cpp.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <rowcrew/settings.hpp>

namespace rowcrew {

struct ConfigSources {
  std::string file;                          ///< empty: no file
  std::map<std::string, std::string> env;    ///< ROWCREW_* variables; see environment()
  std::map<std::string, std::string> flags;  ///< full key -> value
};

/// The ROWCREW_* part of this process's environment.
std::map<std::string, std::string> rowcrew_environment();

/// Throws ConfigError for an unreadable file, malformed YAML (line and column), a duplicate key.
Settings load_config(const ConfigSources& sources);

/// After every section was read: throws ConfigError naming the first key in the file that no
/// look-up asked for, with the nearest known key as a suggestion; then the first of the flags, then
/// the first variable below a section that some look-up asked for.
void check_unknown(const Settings& root);

/// Effective values, one "key = value" per line in key order, secrets as "(set)" or "(unset)":
/// what --check-config prints.
std::string describe_config(const Settings& root);

/// "90s" -> 90 s. Units ms, s, m, h, d; whole numbers; throws ConfigError(`subject`: …).
std::chrono::milliseconds parse_duration(std::string_view text, std::string_view subject);
/// The shortest exact form: 90000 ms -> "90s".
std::string format_duration(std::chrono::milliseconds span);

}  // namespace rowcrew
