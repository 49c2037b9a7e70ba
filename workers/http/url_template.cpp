#include "url_template.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <rowcrew/error.hpp>

namespace rowcrew::http {
namespace {

[[noreturn]] void refuse_template(const std::string& subject, const char* sentence) {
  throw ConfigError(subject + ": " + sentence);
}

[[noreturn]] void refuse_value(const std::string& name, const char* sentence) {
  throw PermanentError("bad_payload", fmt::format("http payload: args.{} {}", name, sentence));
}

bool is_control(char c) {
  return (c >= 0 && c < ' ') || c == '\x7f';
}

bool is_placeholder_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == text.npos;
}

// Where path or query begin. Checks what stands before.
std::size_t end_of_authority(std::string_view text, const std::string& subject) {
  const std::size_t start = text.starts_with("https://") ? 8 : text.starts_with("http://") ? 7 : 0;
  if (start == 0) refuse_template(subject, "expected a URL that starts with http:// or https://");
  const std::size_t end = std::min(text.find_first_of("/?", start), text.size());
  const std::string_view authority = text.substr(start, end - start);
  if (authority.empty()) refuse_template(subject, "has no host");
  if (authority.find_first_of("{}") != authority.npos) {
    refuse_template(subject, "has a placeholder in host or port, expected them to be fixed");
  }
  if (authority.find('@') != authority.npos) {
    refuse_template(subject, "has user information, expected a header for it");
  }
  return end;
}

void append_encoded(std::string& to, std::string_view value) {
  static constexpr std::string_view kUnreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  for (const char c : value) {
    if (kUnreserved.find(c) != kUnreserved.npos) {
      to += c;
    } else {
      to += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

// The path as a careless server reads it: encoded dots are dots, and everything that anybody takes for
// a separator is one, encoded or not.
std::string path_as_read(std::string_view url) {
  url = url.substr(0, url.find('?'));
  const std::string_view path = url.substr(std::min(url.find('/', url.find("://") + 3), url.size()));
  std::string read;
  for (std::size_t i = 0; i < path.size(); ++i) {
    std::string code(path.substr(i, 3));
    if (code.size() == 3) code[2] = static_cast<char>(code[2] | 0x20);
    if (code == "%2e") {
      read += '.';
      i += 2;
    } else if (code == "%2f" || code == "%5c") {
      read += '/';
      i += 2;
    } else {
      read += path[i] == '\\' ? '/' : path[i];
    }
  }
  return read;
}

bool has_dot_segment(std::string_view url) {
  const std::string read = path_as_read(url);
  std::string_view path = read;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    path.remove_prefix(segment.size());
    if (segment == "." || segment == "..") return true;
  }
  return false;
}

}  // namespace

UrlTemplate::UrlTemplate(std::string_view text, const std::string& subject) : literals_(1) {
  const std::size_t path = end_of_authority(text, subject);
  const std::size_t query = std::min(text.find('?', path), text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_control(c) || c == ' ' || c == '#' || c < 0) {
      refuse_template(subject, "has a fragment, a space or another character that must be encoded");
    }
    if (c == '{') {
      const auto end = text.find('}', i);
      const auto name = end == text.npos ? "" : text.substr(i + 1, end - i - 1);
      if (!is_placeholder_name(name)) refuse_template(subject, "has a malformed placeholder");
      if (i < query) ++in_path_;
      names_.emplace_back(name);
      literals_.emplace_back();
      i = end;
    } else if (c == '}') {
      refuse_template(subject, "has a brace outside a placeholder");
    } else {
      literals_.back() += c;
    }
  }
  std::map<std::string, std::string> sample;
  for (const std::string& name : names_) sample[name] = "x";
  try {
    fill(sample);
  } catch (const PermanentError&) {
    refuse_template(subject, "has a \".\" or \"..\" segment, expected the path that is meant");
  }
}

std::string UrlTemplate::fill(const std::map<std::string, std::string>& values) const {
  std::string url = literals_[0];
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const std::string& name = names_[i];
    const std::string& value = values.at(name);
    if (value.size() > kMaxBytes) refuse_value(name, "is longer than 1024 bytes");
    if (value.empty() && i < in_path_) refuse_value(name, "is empty, expected a part of the path");
    if (std::any_of(value.begin(), value.end(), is_control)) {
      refuse_value(name, "holds a control character");
    }
    append_encoded(url, value);
    url += literals_[i + 1];
  }
  if (has_dot_segment(url)) {
    throw PermanentError("bad_payload", "http payload: args make a path segment of dots");
  }
  return url;
}

}  // namespace rowcrew::http
