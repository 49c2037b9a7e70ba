#include "base/config.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include <rowcrew/error.hpp>

#include "base/config_file.hpp"
#include "base/edit_distance.hpp"
#include "base/settings_tree.hpp"

namespace rowcrew {
namespace {

std::string_view parent_of(std::string_view full) {
  const auto dot = full.rfind('.');
  return dot == std::string_view::npos ? std::string_view{} : full.substr(0, dot);
}

std::string_view last_of(std::string_view full) {
  const auto dot = full.rfind('.');
  return dot == std::string_view::npos ? full : full.substr(dot + 1);
}

std::vector<std::string> candidates(const Settings::Tree& tree) {
  std::vector<std::string> found(tree.sections.begin(), tree.sections.end());
  for (const auto& [key, value] : tree.known) found.push_back(key);
  return found;
}

/// A typing mistake beside its siblings, else the right word in the wrong section, else empty.
std::string nearest(const Settings::Tree& tree, std::string_view unknown) {
  const std::string_view word = last_of(unknown);
  std::size_t best = word.size() / 3 + 2;
  std::string sibling;
  std::string elsewhere;
  for (const std::string& known : candidates(tree)) {
    if (parent_of(known) == parent_of(unknown)) {
      const std::size_t far = edit_distance(word, last_of(known));
      if (far < best) {
        best = far;
        sibling = known;
      }
    } else if (elsewhere.empty() && last_of(known) == word) {
      elsewhere = known;
    }
  }
  return sibling.empty() ? elsewhere : sibling;
}

[[noreturn]] void refuse_unknown(const Settings::Tree& tree, const std::string& full,
                                 std::string_view where) {
  const std::string suggestion = nearest(tree, full);
  throw ConfigError(suggestion.empty() ? fmt::format("{} ({}): unknown key", full, where)
                                       : fmt::format("{} ({}): unknown key, did you mean {}?", full,
                                                     where, suggestion));
}

/// Asked for itself, or something below it was.
bool is_known(const Settings::Tree& tree, const std::string& full) {
  if (tree.known.contains(full) || tree.sections.contains(full)) return true;
  const std::string below = full + ".";
  const auto key = tree.known.lower_bound(below);
  const auto section = tree.sections.lower_bound(below);
  return (key != tree.known.end() && key->first.starts_with(below)) ||
         (section != tree.sections.end() && section->starts_with(below));
}

/// The key that a variable would be if the section that it lies in had it; empty when it lies in none that
/// was asked for: other programs, and scripts, have variables of our prefix as well.
std::string key_of(const Settings::Tree& tree, const std::string& variable) {
  std::string key;
  std::size_t longest = 0;
  for (const std::string& section : tree.sections) {
    const std::string above = environment_name(section + ".");
    if (!variable.starts_with(above) || above.size() <= longest) continue;
    longest = above.size();
    key = section + "." + lower_case(std::string_view(variable).substr(above.size()));
  }
  return key;
}

void refuse_unknown_variables(const Settings::Tree& tree) {
  std::set<std::string> known;
  for (const auto& [full, value] : tree.known) known.insert(environment_name(full));
  for (const auto& [variable, value] : tree.env) {
    if (known.contains(variable)) continue;
    const std::string key = key_of(tree, variable);
    if (!key.empty()) refuse_unknown(tree, key, "from " + variable);
  }
}

/// Without what Kubernetes tells every container about the services of its namespace. A service called rowcrew-ingest gives
/// ROWCREW_INGEST_SERVICE_HOST and ROWCREW_INGEST_PORT=tcp://…, which nobody has written and nobody has misspelt.
std::map<std::string, std::string> without_service_links(std::map<std::string, std::string> env) {
  constexpr std::string_view kHost = "_SERVICE_HOST";
  std::vector<std::string> services;
  for (const auto& [variable, value] : env) {
    if (!variable.ends_with(kHost)) continue;
    std::string service = variable.substr(0, variable.size() - kHost.size());
    if (env.contains(service + "_SERVICE_PORT")) services.push_back(std::move(service));
  }
  for (const std::string& service : services) {
    std::erase_if(env, [&](const auto& entry) {
      const auto& [variable, value] = entry;
      return variable.starts_with(service + "_SERVICE_") || variable.starts_with(service + "_PORT_") ||
             (variable == service + "_PORT" && value.find("://") != std::string::npos);
    });
  }
  return env;
}

}  // namespace

std::map<std::string, std::string> rowcrew_environment() {
  std::map<std::string, std::string> found;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (text.starts_with("ROWCREW_") && equals != std::string_view::npos) {
      found.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return found;
}

Settings load_config(const ConfigSources& sources) {
  auto tree = std::make_shared<Settings::Tree>();
  if (!sources.file.empty()) read_config_file(sources.file, *tree);
  tree->env = without_service_links(sources.env);
  tree->flags = sources.flags;
  return {std::move(tree), {}};
}

void check_unknown(const Settings& root) {
  const Settings::Tree& tree = Settings::Tree::of(root);
  for (const std::string& full : tree.order) {
    if (!is_known(tree, full)) {
      refuse_unknown(tree, full, fmt::format("line {}", tree.node(full)->line));
    }
  }
  for (const auto& [full, value] : tree.flags) {
    if (!tree.known.contains(full)) refuse_unknown(tree, full, "command line");
  }
  refuse_unknown_variables(tree);
}

std::string describe_config(const Settings& root) {
  std::string out;
  for (const auto& [key, value] : Settings::Tree::of(root).known) {
    if (value) out += fmt::format("{} = {}\n", key, *value);
  }
  return out;
}

}  // namespace rowcrew
