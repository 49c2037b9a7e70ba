#include "cli/old_worker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <regex>

namespace rowcrew::cli {
namespace {

/// A statement taken apart by its subqueries: what stands outside of them, and each of them.
struct Parts {
  std::string outside;
  std::vector<std::string> subqueries;
};

std::string lower(std::string_view text) {
  std::string out;
  for (const char c : text) out += (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

/// By hand: std::regex takes a stack frame for each character of a comment.
std::string without_comments(std::string_view text) {
  std::string out;
  bool literal = false;
  while (!text.empty()) {
    if (text.front() == '\'') literal = !literal;
    const std::string_view end = literal ? "" : text.starts_with("--") ? "\n" : text.starts_with("/*") ? "*/" : "";
    out += end.empty() ? text.front() : ' ';
    text.remove_prefix(end.empty() ? 1 : std::min(text.find(end, 2), text.size() - end.size()) + end.size());
  }
  return out;
}

/// The index behind the parenthesis that closes the one at `open`; literals are skipped.
std::size_t behind_group(std::string_view text, std::size_t open) {
  int depth = 0;
  bool literal = false;
  for (std::size_t at = open; at < text.size(); ++at) {
    if (text[at] == '\'') literal = !literal;
    if (literal) continue;
    if (text[at] == '(') ++depth;
    if (text[at] == ')' && --depth == 0) return at + 1;
  }
  return text.size();
}

Parts take_apart(std::string_view text) {
  static const std::regex kSelect(R"(^\(\s*(select|with)\b)");
  Parts parts;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '(') {
      parts.outside += text[at++];
      continue;
    }
    const std::size_t end = behind_group(text, at);
    const std::string group(text.substr(at, end - at));
    if (std::regex_search(group, kSelect)) {
      parts.subqueries.push_back(group);
    } else {
      parts.outside += group;
    }
    at = end;
  }
  return parts;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view(R"(.^$|()[]{}*+?\)").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

bool asks_for(const std::string& text, const std::string& column, const std::string& word) {
  const std::regex compares("(^|[^a-z0-9_])\"?" + escaped(column) + R"("?(::[a-z_ ]+)?\s*(=|in)\s*\(?\s*(cast\s*\()?[^()=<>]*')" + escaped(word) + "'");
  return std::regex_search(text, compares);
}

}  // namespace

std::string fault_of_old_worker(std::string_view statement, std::string_view status_column,
                                const std::vector<std::string>& waiting_words, std::string_view running_word) {
  static const std::regex kParameter(R"(\$[0-9]|%\(?[a-z]|[?]|[^:]:[a-z])");
  static const std::regex kUpdate(R"(\bupdate\s)");
  static const std::regex kLocks(R"(\bfor\s+(no\s+key\s+)?update\b)");
  const std::string text = without_comments(lower(statement));
  const Parts parts = take_apart(text);
  const std::string column = lower(status_column);
  std::smatch update;
  if (!std::regex_search(parts.outside, update, kUpdate)) {
    return "its claim is no UPDATE: what it has read, somebody else may have taken meanwhile";
  }
  const std::string changed = update.suffix();
  const std::size_t where = changed.find("where");
  if (changed.substr(0, where).find("'" + lower(running_word) + "'") == std::string::npos) {
    const bool hidden = std::regex_search(changed.begin(), changed.begin() + static_cast<std::ptrdiff_t>(std::min(where, changed.size())), kParameter);
    return fmt::format("its claim does not set {} to '{}'{}", status_column, running_word, hidden ? ": write it with its values, not with parameters" : "");
  }
  for (const std::string& each : waiting_words) {
    const std::string word = lower(each);
    if (where != std::string::npos && asks_for(changed.substr(where), column, word)) return "";
    for (const std::string& subquery : parts.subqueries) {
      if (std::regex_search(subquery, kLocks) && asks_for(subquery, column, word)) return "";
    }
  }
  return fmt::format("the UPDATE of its claim does not ask for {} = '{}' again: it would run what we have claimed since it looked",
                     status_column, waiting_words.empty() ? "" : waiting_words.front());
}

}  // namespace rowcrew::cli
