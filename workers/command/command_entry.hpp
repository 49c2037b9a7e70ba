// The allow-list of the kind `command`: the only programs that a payload can cause to run.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rowcrew/settings.hpp>

namespace rowcrew::command {

/// What a value may look like before it becomes part of an argument.
class ArgRule {
 public:
  /// `pattern` is an ECMAScript expression over bytes, without back references, that must match the
  /// whole value; empty: kDefaultPattern. Throws ConfigError(`subject`: …).
  ArgRule(const std::string& pattern, const std::string& subject);

  /// A value that starts with '-' could be taken for an option: it passes only when the pattern
  /// itself begins with a literal '-'. Longer ones than kMaxBytes and NUL never pass.
  bool admits(std::string_view value) const;

  static constexpr std::string_view kDefaultPattern = R"([^\x00-\x1f]{0,200})";
  /// Bounds the work of the matcher.
  static constexpr std::size_t kMaxBytes = 1024;

 private:
  std::regex pattern_;
  bool dash_;
};

/// One element of an argv: text with {placeholders}; "{{" and "}}" stand for braces.
class Template {
 public:
  /// Throws ConfigError(`subject`: …) for unbalanced braces or a malformed name.
  Template(std::string_view text, const std::string& subject);

  const std::vector<std::string>& names() const { return names_; }
  /// Every name must be in `values`. The result is one argument, whatever the values hold.
  std::string fill(const std::map<std::string, std::string>& values) const;

 private:
  // literals_[0] names_[0] literals_[1] names_[1] … literals_[n]
  std::vector<std::string> literals_;
  std::vector<std::string> names_;
};

struct Entry {
  std::string name;
  std::vector<Template> argv;  ///< the first is an absolute path without placeholders
  std::map<std::string, ArgRule> args;
  std::vector<std::pair<std::string, std::string>> env;
  std::string directory;
  std::chrono::milliseconds timeout{};
  std::uint64_t max_memory = 0;  ///< 0: not limited
  bool input = false;            ///< the payload's `input` goes to stdin
  std::set<int> permanent_exits;
};

using AllowList = std::map<std::string, Entry, std::less<>>;

/// Reads kinds.command.allow. Throws ConfigError.
AllowList read_allow_list(const Settings& command);

}  // namespace rowcrew::command
