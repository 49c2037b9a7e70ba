// A section of the configuration, read by typed look-ups with units and ranges. Every look-up
// marks its key as known; after start-up check_unknown() turns whatever is left into an error.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew {

/// All look-ups throw ConfigError, one sentence that names the full key, the value found and what
/// was expected: "node.lease: 90 has no unit, expected a duration such as 30s, 2s to 10m".
/// Precedence: default < file < environment (ROWCREW_NODE_LEASE for node.lease) < flag.
class Settings {
 public:
  struct Tree;
  Settings(std::shared_ptr<Tree> tree, std::string prefix);

  Settings section(std::string_view name) const;
  /// The names directly below this section, in file order; for maps whose keys are free
  /// (queues, allow-lists). Each name counts as known, what is below it does not. Of a section at the
  /// top the environment may add some (ROWCREW_QUEUES_MAIL: mail).
  std::vector<std::string> names() const;
  bool has(std::string_view key) const;

  std::string text(std::string_view key, std::string_view fallback) const;
  /// Throws when the key is missing.
  std::string text(std::string_view key) const;
  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t min,
                       std::int64_t max) const;
  bool flag(std::string_view key, bool fallback) const;
  /// "250ms", "30s", "15m", "2h", "7d"; a bare number is refused.
  std::chrono::milliseconds duration(std::string_view key, std::chrono::milliseconds fallback,
                                     std::chrono::milliseconds min,
                                     std::chrono::milliseconds max) const;
  /// "64KiB", "10MiB", "1GiB" or a bare number of bytes.
  std::uint64_t bytes(std::string_view key, std::uint64_t fallback, std::uint64_t min,
                      std::uint64_t max) const;
  std::vector<std::string> texts(std::string_view key,
                                 const std::vector<std::string>& fallback) const;
  /// One of `choices`.
  std::string choice(std::string_view key, std::string_view fallback,
                     const std::vector<std::string>& choices) const;
  /// A secret, from (first found): `<key>_file`, systemd credential of that name (dots and
  /// underscores as dashes: database-url), `<key>_command` (stdout of an argv, 10 s), environment
  /// (wiped after the read), `<key>` in the file. Nullopt when none is given. Masked in dumps.
  std::optional<std::string> secret(std::string_view key) const;

  /// Full name of a key in this section, for error messages.
  std::string full(std::string_view key) const;

 private:
  std::shared_ptr<Tree> tree_;
  std::string prefix_;
};

}  // namespace rowcrew
