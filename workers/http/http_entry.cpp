#include "http_entry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>

#include <rowcrew/error.hpp>

namespace rowcrew::http {
namespace {

using namespace std::chrono_literals;

// Set by the client, or by us for every request.
constexpr std::array<std::string_view, 6> kReserved = {
    "connection", "content-length", "expect", "host", "idempotency-key", "transfer-encoding"};

[[noreturn]] void refuse(const std::string& subject, const std::string& sentence) {
  throw ConfigError(subject + ": " + sentence);
}

bool is_entry_name(std::string_view text) {
  return text.size() <= 64 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == text.npos;
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

/// Collects headers; each name once, whatever its case.
class HeaderList {
 public:
  void add(const std::string& name, const std::string& value, const std::string& subject) {
    static constexpr std::string_view kPunctuation = "!#$%&'*+-.^_`|~";
    const bool token = std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             kPunctuation.find(c) != kPunctuation.npos;
    });
    if (!token) refuse(subject, "is no name of a header");
    if (std::any_of(value.begin(), value.end(),
                    [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == '\x7f'; })) {
      refuse(subject, "the value holds a control character");
    }
    const std::string key = lower(name);
    if (std::find(kReserved.begin(), kReserved.end(), key) != kReserved.end()) {
      refuse(subject, "this header is set for every request and cannot be configured");
    }
    if (!seen_.insert(key).second) refuse(subject, "is given twice, expected once");
    headers_.emplace_back(name, value);
  }
  HttpHeaders take() { return std::move(headers_); }

 private:
  std::set<std::string> seen_;
  HttpHeaders headers_;
};

// "Authorization_file" and "Authorization_command" are sources of the secret "Authorization".
std::string secret_name(std::string_view key) {
  for (const std::string_view suffix : {"_file", "_command"}) {
    if (key.ends_with(suffix)) return std::string(key.substr(0, key.size() - suffix.size()));
  }
  return std::string(key);
}

HttpHeaders read_headers(const Settings& section) {
  HeaderList list;
  const Settings plain = section.section("headers");
  for (const std::string& name : plain.names()) list.add(name, plain.text(name), plain.full(name));
  const Settings secrets = section.section("headers_secret");
  std::set<std::string> names;
  for (const std::string& key : secrets.names()) names.insert(secret_name(key));
  for (const std::string& name : names) {
    const std::optional<std::string> value = secrets.secret(name);
    if (!value) refuse(secrets.full(name), "no source gives this secret");
    list.add(name, *value, secrets.full(name));
  }
  return list.take();
}

std::optional<int> parse_status(std::string_view text) {
  int status = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), status);
  const bool whole = error == std::errc{} && at == text.data() + text.size();
  return whole && status >= 200 && status <= 599 ? std::optional(status) : std::nullopt;
}

std::vector<StatusRange> read_expect(const Settings& section) {
  std::vector<StatusRange> ranges;
  for (const std::string& text : section.texts("expect", {"200-299"})) {
    const std::string_view view = text;
    const auto dash = view.find('-');
    const auto first = parse_status(view.substr(0, dash));
    const auto last = dash == view.npos ? first : parse_status(view.substr(dash + 1));
    if (!first || !last || *first > *last) {
      refuse(section.full("expect"),
             fmt::format("\"{}\" found, expected statuses such as 200 or 200-299", text));
    }
    ranges.emplace_back(*first, *last);
  }
  if (ranges.empty()) refuse(section.full("expect"), "is empty, expected a status");
  return ranges;
}

Entry read_entry(const std::string& name, const Settings& section) {
  Entry entry(name, UrlTemplate(section.text("url"), section.full("url")));
  entry.method =
      section.choice("method", "POST", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"});
  entry.headers = read_headers(section);
  entry.timeout = section.duration("timeout", 30s, 100ms, 1h);
  entry.expect = read_expect(section);
  entry.json_body = section.choice("body", "none", {"none", "json"}) == "json";
  if (entry.json_body && (entry.method == "GET" || entry.method == "HEAD")) {
    refuse(section.full("body"), fmt::format("json found, but {} carries no body", entry.method));
  }
  return entry;
}

}  // namespace

AllowList read_allow_list(const Settings& http) {
  AllowList list;
  const Settings allow = http.section("allow");
  for (const std::string& name : allow.names()) {
    if (!is_entry_name(name)) {
      refuse(allow.full(name), "expected a name of a-z, 0-9, _ and -, 64 at most");
    }
    list.emplace(name, read_entry(name, allow.section(name)));
  }
  return list;
}

}  // namespace rowcrew::http
