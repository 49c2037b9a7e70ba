#include "command_entry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include <rowcrew/error.hpp>

namespace rowcrew::command {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMinMemory = std::uint64_t{1} << 20;
constexpr std::uint64_t kMaxMemory = std::uint64_t{1} << 40;

// Patterns are the operator's, values a stranger's: (a|aa)*b must not stop the event thread for
// ever. libstdc++ can be told to match in polynomial time, at the price of back references.
#ifdef __GLIBCXX__
constexpr auto kSyntax = std::regex::ECMAScript | std::regex_constants::__polynomial;
#else
constexpr auto kSyntax = std::regex::ECMAScript;
#endif

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == text.npos;
}

[[noreturn]] void refuse(const std::string& subject, const std::string& sentence) {
  throw ConfigError(subject + ": " + sentence);
}

std::vector<Template> read_argv(const Settings& section) {
  const std::string subject = section.full("argv");
  std::vector<Template> argv;
  const std::vector<std::string> texts = section.texts("argv", {});
  for (const std::string& text : texts) argv.emplace_back(text, subject);
  if (argv.empty() || !texts[0].starts_with('/')) {
    refuse(subject, "expected a list that starts with the absolute path of a program");
  }
  if (!argv[0].names().empty()) {
    refuse(subject, "the program itself holds a placeholder, expected a fixed path");
  }
  return argv;
}

std::map<std::string, ArgRule> read_args(const Settings& section) {
  std::map<std::string, ArgRule> rules;
  for (const std::string& name : section.names()) {
    if (!is_name(name)) {
      refuse(section.full(name), "expected a name of a-z, 0-9, _ and -, 64 at most");
    }
    rules.emplace(name, ArgRule(section.text(name), section.full(name)));
  }
  return rules;
}

// A placeholder without a rule would pass anything, a rule without a placeholder is a slip.
void check_placeholders(const Entry& entry, const Settings& section) {
  std::set<std::string> used;
  for (const Template& element : entry.argv) {
    used.insert(element.names().begin(), element.names().end());
  }
  for (const std::string& name : used) {
    if (!entry.args.contains(name)) {
      refuse(section.full("argv"), fmt::format("{{{}}} is not declared under args", name));
    }
  }
  for (const auto& [name, rule] : entry.args) {
    if (!used.contains(name)) {
      refuse(section.section("args").full(name), "declared, but argv does not use it");
    }
  }
}

std::vector<std::pair<std::string, std::string>> read_env(const Settings& section) {
  std::vector<std::pair<std::string, std::string>> env;
  for (const std::string& name : section.names()) {
    if (name.find('=') != name.npos) refuse(section.full(name), "a name cannot hold \"=\"");
    env.emplace_back(name, section.text(name));
  }
  return env;
}

std::set<int> read_permanent_exits(const Settings& section) {
  std::set<int> exits;
  for (const std::string& text : section.texts("permanent_exits", {})) {
    int status = 0;
    const char* const end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, status);
    if (error != std::errc{} || at != end || status < 1 || status > 255) {
      refuse(section.full("permanent_exits"),
             fmt::format("\"{}\" found, expected exit statuses from 1 to 255", text));
    }
    exits.insert(status);
  }
  return exits;
}

Entry read_entry(const std::string& name, const Settings& section) {
  Entry entry;
  entry.name = name;
  entry.argv = read_argv(section);
  entry.args = read_args(section.section("args"));
  check_placeholders(entry, section);
  entry.env = read_env(section.section("env"));
  entry.directory = section.text("directory", "/");
  if (!entry.directory.starts_with('/')) {
    refuse(section.full("directory"),
           fmt::format("\"{}\" found, expected an absolute path", entry.directory));
  }
  entry.timeout = section.duration("timeout", 60s, 100ms, 24h);
  entry.max_memory = section.bytes("max_memory", 0, kMinMemory, kMaxMemory);
  entry.input = section.choice("stdin", "none", {"none", "payload"}) == "payload";
  entry.permanent_exits = read_permanent_exits(section);
  return entry;
}

}  // namespace

ArgRule::ArgRule(const std::string& pattern, const std::string& subject)
    : dash_(pattern.starts_with('-') || pattern.starts_with("\\-")) {
  try {
    pattern_.assign(pattern.empty() ? std::string(kDefaultPattern) : pattern, kSyntax);
  } catch (const std::regex_error& error) {
    refuse(subject, fmt::format("\"{}\" is no regular expression: {}", pattern, error.what()));
  }
}

bool ArgRule::admits(std::string_view value) const {
  if (value.size() > kMaxBytes || value.find('\0') != value.npos) return false;
  if (value.starts_with('-') && !dash_) return false;
  try {
    return std::regex_match(value.begin(), value.end(), pattern_);
  } catch (const std::regex_error&) {
    return false;  // too complex for the matcher
  }
}

Template::Template(std::string_view text, const std::string& subject) : literals_(1) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '{' && c != '}') {
      literals_.back() += c;
    } else if (i + 1 < text.size() && text[i + 1] == c) {
      literals_.back() += c;
      ++i;
    } else {
      const auto end = text.find('}', i);
      const auto name = c == '{' && end != text.npos ? text.substr(i + 1, end - i - 1) : "";
      if (!is_name(name)) {
        refuse(subject, fmt::format("\"{}\" holds a brace that is no {{placeholder}}; write "
                                    "\"{{{{\" or \"}}}}\" for a brace",
                                    text));
      }
      names_.emplace_back(name);
      literals_.emplace_back();
      i = end;
    }
  }
}

std::string Template::fill(const std::map<std::string, std::string>& values) const {
  std::string filled = literals_[0];
  for (std::size_t i = 0; i < names_.size(); ++i) {
    filled += values.at(names_[i]);
    filled += literals_[i + 1];
  }
  return filled;
}

AllowList read_allow_list(const Settings& command) {
  AllowList list;
  const Settings allow = command.section("allow");
  for (const std::string& name : allow.names()) {
    if (!is_name(name)) {
      refuse(allow.full(name), "expected a name of a-z, 0-9, _ and -, 64 at most");
    }
    list.emplace(name, read_entry(name, allow.section(name)));
  }
  return list;
}

}  // namespace rowcrew::command
