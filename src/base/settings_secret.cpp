#include <fmt/format.h>

#include <cstdlib>

#include <rowcrew/error.hpp>
#include <rowcrew/settings.hpp>

#include "base/read_file.hpp"
#include "base/secret_source.hpp"
#include "base/settings_tree.hpp"
#include "base/units.hpp"

namespace rowcrew {
namespace {

constexpr std::size_t kMaxSecretFile = std::size_t{1} << 20;
constexpr auto kCommandLimit = std::chrono::seconds{10};

/// A source that was chosen and holds nothing is a mistake, not a reason to try the next one.
std::string not_empty(std::string secret, std::string_view subject) {
  secret = trim_line_ends(std::move(secret));
  if (secret.empty()) throw ConfigError(fmt::format("{}: empty, expected a secret", subject));
  return secret;
}

/// What is not up yet may be after the service manager's next start: no mistake of the configuration, after which there is none.
std::string from_command(const std::vector<std::string>& argv, const std::string& key) {
  try {
    return not_empty(run_secret_command(argv, kCommandLimit, key), key);
  } catch (const NoSecretYet& e) {
    throw TransientError("no_secret_yet", e.what());
  }
}

std::string from_file(const std::string& key, const std::string& path) {
  ReadResult read = read_file(path, kMaxSecretFile);
  if (!read.ok()) {
    throw ConfigError(
        fmt::format("{}: {}: {}, expected a readable file", key, shown(path, 300), read.reason));
  }
  return not_empty(std::move(read.content), fmt::format("{}: {}", key, shown(path, 300)));
}

std::string credential_name(std::string_view full) {
  std::string name(full);
  for (char& c : name) {
    if (c == '.' || c == '_') c = '-';
  }
  return name;
}

/// A credential of that name, if the service manager passed one.
std::optional<std::string> from_credential(const std::string& full) {
  const char* const directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') return std::nullopt;
  const std::string path = fmt::format("{}/{}", directory, credential_name(full));
  if (read_file(path, kMaxSecretFile).missing) return std::nullopt;
  return from_file(full, path);
}

/// Takes the variable out of the process whether or not it is what counts: a secret that stays
/// behind is inherited by every child.
std::optional<std::string> from_environment(const Settings::Tree& tree, const std::string& full) {
  const std::string name = environment_name(full);
  wipe_environment(name);
  const auto variable = tree.env.find(name);
  if (variable == tree.env.end() || variable->second.empty()) return std::nullopt;
  return not_empty(variable->second, fmt::format("{} (from {})", full, name));
}

/// Written into the configuration itself. An empty value counts as none.
std::optional<std::string> from_tree(const Settings::Tree& tree, const std::string& full) {
  const FileNode* node = tree.node(full);
  if (node == nullptr || node->kind == FileNode::Kind::empty) return std::nullopt;
  if (node->kind != FileNode::Kind::scalar) {
    throw ConfigError(
        fmt::format("{} (line {}): a list or section, expected a secret", full, node->line));
  }
  return node->text.empty() ? std::nullopt : std::optional(node->text);
}

}  // namespace

std::optional<std::string> Settings::secret(std::string_view key) const {
  const std::string path = full(key);
  const std::string file_key = path + "_file";
  const std::string command_key = path + "_command";
  Tree& tree = *tree_;
  tree.mark(file_key);
  tree.mark(command_key);
  tree.show(path, "(unset)");

  auto by_environment = from_environment(tree, path);
  auto found = [&]() -> std::optional<std::string> {
    if (const auto flag = tree.flags.find(path); flag != tree.flags.end()) return flag->second;
    if (const auto file = tree.find(file_key, "the path of a file")) {
      return from_file(file_key + file->where, file->text);
    }
    if (auto credential = from_credential(path)) return credential;
    const Settings here(tree_, {});
    if (here.has(command_key)) {
      const auto argv = here.texts(command_key, {});
      tree.known[command_key] = std::nullopt;  // arguments may be half a secret themselves
      return from_command(argv, command_key);
    }
    if (by_environment) return by_environment;
    return from_tree(tree, path);
  }();
  if (found) tree.show(path, "(set)");
  return found;
}

}  // namespace rowcrew
