// A URL whose path and query may hold {placeholders}: pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew::http {

/// Scheme, host and port are fixed: a value can never change where a request goes, only, percent-
/// encoded, what it asks for there.
class UrlTemplate {
 public:
  /// Throws ConfigError(`subject`: …): not absolute http(s), user information, a fragment, a
  /// character that must be encoded, a brace outside a placeholder or in front of the path, a "."
  /// or ".." segment.
  UrlTemplate(std::string_view text, const std::string& subject);

  const std::vector<std::string>& names() const { return names_; }

  /// Every name must be in `values`. Throws PermanentError("bad_payload") when a value is longer
  /// than kMaxBytes, holds a control character, is empty in the path, or makes a path segment "." or
  /// "..", which the other side would resolve. An encoded slash counts as the end of a segment here,
  /// and so does a backslash: servers differ in what they take them for.
  std::string fill(const std::map<std::string, std::string>& values) const;

  static constexpr std::size_t kMaxBytes = 1024;

 private:
  // literals_[0] names_[0] literals_[1] names_[1] … literals_[n]
  std::vector<std::string> literals_;
  std::vector<std::string> names_;
  std::size_t in_path_ = 0;  ///< so many of the names stand before the '?'
};

}  // namespace rowcrew::http
