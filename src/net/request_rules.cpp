#include "net/request_rules.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "net/http_syntax.hpp"

namespace rowcrew {
namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

std::optional<std::string> part_of(CURLU* url, CURLUPart part) {
  char* found = nullptr;
  if (curl_url_get(url, part, &found, 0) != CURLUE_OK) return std::nullopt;
  std::string text(found);
  curl_free(found);
  return text;
}

/// What frames or routes the message belongs to the client, not to its callers.
bool is_reserved(std::string_view name) {
  static constexpr std::array<std::string_view, 8> kReserved = {
      "host", "content-length", "transfer-encoding", "connection",
      "te",   "trailer",        "upgrade",           "expect"};
  return std::any_of(kReserved.begin(), kReserved.end(),
                     [&](std::string_view r) { return equals_ignoring_case(r, name); });
}

}  // namespace

PermanentError bad_url(std::string_view why) {
  return PermanentError("http_bad_url",
                        fmt::format("http: url {}, expected http:// or https://, a host and no "
                                    "user information",
                                    why));
}

std::string checked_host(const std::string& text) {
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != '\\';
  });
  if (!printable) throw bad_url("has a blank, a backslash or a control character");
  const std::unique_ptr<CURLU, FreeUrl> url(curl_url());
  const CURLUcode parsed = curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0);
  if (parsed == CURLUE_UNSUPPORTED_SCHEME) throw bad_url("has another scheme");
  if (parsed != CURLUE_OK) {
    throw bad_url(fmt::format("is malformed ({})", curl_url_strerror(parsed)));
  }
  if (part_of(url.get(), CURLUPART_USER) || part_of(url.get(), CURLUPART_PASSWORD)) {
    throw bad_url("has user information");
  }
  const auto scheme = part_of(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") throw bad_url("has another scheme");
  const auto host = part_of(url.get(), CURLUPART_HOST);
  if (!host) throw bad_url("has no host");
  return *host;
}

void check_method(const HttpRequest& request) {
  static constexpr std::array<std::string_view, 7> kMethods = {"GET",   "HEAD",   "POST",   "PUT",
                                                               "PATCH", "DELETE", "OPTIONS"};
  if (std::find(kMethods.begin(), kMethods.end(), request.method) == kMethods.end()) {
    throw PermanentError("http_bad_method",
                         "http: method is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  }
  if (request.method == "HEAD" && !request.body.empty()) {
    throw PermanentError("http_bad_method", "http: a HEAD request has a body, expected none");
  }
  const bool uploads = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (!uploads && (!request.file.empty() || !request.tail.empty())) {
    throw PermanentError("http_bad_method", "http: a file is sent by POST, PUT and PATCH only");
  }
}

void check_header(const std::string& name, const std::string& value) {
  if (!is_header_name(name)) {
    throw PermanentError("http_bad_header", "http: a header name has a character that is no token");
  }
  if (!is_header_value(value)) {
    throw PermanentError("http_bad_header",
                         fmt::format("http: header \"{}\" has a control character", name));
  }
  if (is_reserved(name)) {
    throw PermanentError("http_bad_header",
                         fmt::format("http: header \"{}\" is set by the client itself", name));
  }
}

}  // namespace rowcrew
