// What Settings looks into: the file's keys flattened to full names, the environment, the flags,
// and what was asked for so far. Shared by all sections of one configuration; one thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/settings.hpp>

namespace rowcrew {

/// One key of the file.
struct FileNode {
  enum class Kind {
    empty,  ///< "key:" without a value
    scalar,
    list,  ///< of scalars
    section,
    foreign,  ///< a list with lists or maps in it: nothing reads such a thing
  };
  Kind kind = Kind::empty;
  int line = 0;                       ///< counted from 1
  std::string text;                   ///< scalar: as written, quotes and escapes resolved
  std::vector<std::string> items;     ///< list
  std::vector<std::string> children;  ///< section: names, in file order
};

/// A value before it is parsed.
struct FoundText {
  std::string text;
  std::string where;  ///< empty for the file, else " (from …)" for messages
};

struct Settings::Tree {
  static Tree& of(const Settings& section) { return *section.tree_; }

  std::vector<std::string> order;  ///< full keys as they come in the file, parents first
  std::map<std::string, FileNode, std::less<>> nodes;
  std::map<std::string, std::string> env;
  std::map<std::string, std::string> flags;

  /// Full key -> effective value as describe_config shows it; nullopt: known, nothing to show.
  std::map<std::string, std::optional<std::string>> known;
  std::set<std::string> sections;

  void mark(const std::string& full) { known.try_emplace(full); }
  void show(const std::string& full, std::string value) { known[full] = std::move(value); }

  const FileNode* node(std::string_view full) const;
  /// From flag or environment, nullopt without either.
  std::optional<FoundText> override_of(const std::string& full) const;
  /// By precedence. Throws ConfigError when the file has anything but a scalar there; `expected`
  /// ends that sentence.
  std::optional<FoundText> find(const std::string& full, std::string_view expected) const;
};

/// "node.stop_within" -> "ROWCREW_NODE_STOP_WITHIN".
std::string environment_name(std::string_view full);
std::string lower_case(std::string_view text);

/// "key: complaint, expected …".
[[noreturn]] void refuse(std::string_view full, const FoundText& found, std::string_view complaint,
                         std::string_view expected);

}  // namespace rowcrew
