#include "webhook_judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/retry_after.hpp>

namespace rowcrew::webhook {
namespace {

using nlohmann::json;

struct Explanation {
  std::string_view code;
  std::string_view sentence;
};

constexpr Explanation kRetried[] = {
    {"http_dns", "The receiver's host name was not found."},
    {"http_connect", "The receiver could not be reached, or refused the connection."},
    {"http_tls",
     "No encrypted connection to the receiver: its certificate or protocol is not accepted."},
    {"http_timeout", "The receiver gave no complete answer in time."},
    {"http_transfer", "The connection to the receiver broke off."},
    {"http_body_too_large", "The receiver's answer is longer than 64 KiB, expected a short one."},
};

bool same_name(std::string_view a, std::string_view lower) {
  return std::equal(a.begin(), a.end(), lower.begin(), lower.end(), [](char x, char y) {
    return (x >= 'A' && x <= 'Z' ? static_cast<char>(x | 0x20) : x) == y;
  });
}

std::string location_of(const HttpHeaders& headers) {
  for (const auto& [name, value] : headers) {
    if (same_name(name, "location")) return excerpt_of(value.substr(0, 200));
  }
  return "";
}

/// Without its full stop: an excerpt may follow.
std::string sentence_of(const HttpResponse& response) {
  if (response.status == 410) return "The receiver answered 410 (it wants no more events)";
  if (response.status / 100 == 3) {
    const std::string location = location_of(response.headers);
    return fmt::format("The receiver answered {} (redirections are not followed{}{})",
                       response.status, location.empty() ? "" : ": ", location);
  }
  return fmt::format("The receiver answered {}", response.status);
}

std::string message_of(const HttpResponse& response) {
  const std::string excerpt = excerpt_of(response.body);
  const std::string sentence = sentence_of(response);
  return excerpt.empty() ? sentence + "." : sentence + " and said: " + excerpt;
}

bool may_name_its_time(int status) {
  return status == 408 || status == 425 || status == 429 || status >= 500;
}

}  // namespace

std::string excerpt_of(std::string_view body) {
  const json raw(std::string(body.substr(0, kExcerptBytes)));
  // Written and read again: broken bytes, also a character cut in two, become U+FFFD.
  auto text = json::parse(raw.dump(-1, ' ', false, json::error_handler_t::replace))
                  .get<std::string>();
  for (char& c : text) {
    if ((c >= 0 && c < ' ') || c == '\x7f') c = ' ';
  }
  if (text.size() > kExcerptBytes) {
    std::size_t end = kExcerptBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text.resize(end);
  }
  const auto last = text.find_last_not_of(' ');
  text.resize(last == text.npos ? 0 : last + 1);
  return text;
}

std::string host_of(std::string_view url) {
  constexpr std::size_t kMost = 100;
  const auto scheme = url.find("://");
  if (scheme != url.npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#\\"));
  const auto user = url.rfind('@');
  if (user != url.npos) url.remove_prefix(user + 1);
  std::string host = excerpt_of(url.substr(0, kMost));
  std::replace(host.begin(), host.end(), ' ', '_');
  return host;
}

Outcome naming(Outcome outcome, std::string_view url) {
  const auto name = [&](std::string& message) { message = fmt::format("endpoint {}: {}", host_of(url), message); };
  if (auto* retry = std::get_if<Retry>(&outcome)) name(retry->message);
  if (auto* failed = std::get_if<Failed>(&outcome)) name(failed->message);
  return outcome;
}

Outcome judge(const HttpResponse& response, std::chrono::milliseconds wait,
              std::chrono::system_clock::time_point now) {
  const int status = response.status;
  if (status / 100 == 2) {
    json result = {{"status", status}};
    const std::string excerpt = excerpt_of(response.body);
    if (!excerpt.empty()) result["excerpt"] = excerpt;
    return Completed(result.dump());
  }
  const std::string message = message_of(response);
  if (status == 410) return Failed("endpoint_gone", message);
  if (may_name_its_time(status)) {
    const auto asked = retry_after(response.headers, now, kLongestRetryAfter);
    if (asked) wait = std::max(wait, *asked);
  }
  return Retry(fmt::format("http_{}", status), message, wait);
}

std::optional<Outcome> judge(const Error& error, std::chrono::milliseconds wait) {
  if (error.code() == "egress_refused" || error.code() == "http_bad_url") {
    return Failed("endpoint_forbidden",
                  "Nothing was sent: the endpoint's URL leads where webhooks must not go.");
  }
  for (const Explanation& known : kRetried) {
    if (error.code() == known.code) {
      return Retry(error.code(), std::string(known.sentence), wait);
    }
  }
  return std::nullopt;
}

}  // namespace rowcrew::webhook
