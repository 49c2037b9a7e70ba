#include "ingest/request_rules.hpp"

#include <algorithm>
#include <vector>

namespace rowcrew {
namespace {

constexpr std::string_view kHooks = "/v1/hooks/";
constexpr std::size_t kMaxKey = 256;
constexpr std::size_t kMaxIdempotencyKey = 200;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_printable(char c) {
  return c >= 0x20 && c < 0x7f;
}
bool is_visible(char c) {
  return c > 0x20 && c < 0x7f;
}

std::vector<std::string_view> all_headers(const ServerRequest& request, std::string_view name) {
  std::vector<std::string_view> found;
  for (const auto& [key, value] : request.headers) {
    if (equals_ignoring_case(key, name)) found.push_back(trimmed(value));
  }
  return found;
}

[[noreturn]] void refuse_method(std::string_view path, const std::string& allowed) {
  throw Refused(405, "method_not_allowed", std::string(path) + " takes " + allowed,
                {{"Allow", allowed}});
}

}  // namespace

Route find_route(std::string_view method, std::string_view path) {
  const bool reads = method == "GET" || method == "HEAD";
  if (path == "/v1/jobs") {
    if (method != "POST") refuse_method(path, "POST");
    return Route::enqueue;
  }
  if (path.starts_with(kHooks)) {
    if (method != "POST") refuse_method("a hook", "POST");
    return Route::hook;
  }
  if (path != "/healthz" && path != "/readyz") {
    throw Refused(404, "not_found", "no such path, expected /v1/jobs, /healthz or /readyz");
  }
  if (!reads) refuse_method(path, "GET, HEAD");
  return path == "/healthz" ? Route::health : Route::ready;
}

std::string_view hook_name(std::string_view path) {
  return path.substr(kHooks.size());
}

Refused unauthorized() {
  return {401,
          "unauthorized",
          "no valid API key, expected Authorization: Bearer <key>",
          {{"WWW-Authenticate", "Bearer realm=\"rowcrew\""}}};
}

std::string bearer_key(const ServerRequest& request) {
  constexpr std::string_view kScheme = "Bearer";
  const auto headers = all_headers(request, "Authorization");
  if (headers.size() != 1) throw unauthorized();
  const std::string_view header = headers.front();
  if (header.size() <= kScheme.size() || header[kScheme.size()] != ' ' ||
      !equals_ignoring_case(header.substr(0, kScheme.size()), kScheme)) {
    throw unauthorized();
  }
  const std::string_view key = trimmed(header.substr(kScheme.size()));
  if (key.empty() || key.size() > kMaxKey || !std::all_of(key.begin(), key.end(), is_visible)) {
    throw unauthorized();
  }
  return std::string(key);
}

void require_json(const ServerRequest& request) {
  const auto headers = all_headers(request, "Content-Type");
  const std::string_view type = headers.size() == 1 ? headers.front() : std::string_view{};
  const auto semicolon = type.find(';');
  const bool json = equals_ignoring_case(trimmed(type.substr(0, semicolon)), "application/json");
  const std::string_view parameter =
      semicolon == type.npos ? std::string_view{} : trimmed(type.substr(semicolon + 1));
  if (json && (parameter.empty() || equals_ignoring_case(parameter, "charset=utf-8") ||
               equals_ignoring_case(parameter, "charset=\"utf-8\""))) {
    return;
  }
  throw Refused(415, "unsupported_media_type", "Content-Type: expected application/json, in UTF-8");
}

std::optional<std::string> idempotency_key(const ServerRequest& request) {
  const auto headers = all_headers(request, "Idempotency-Key");
  if (headers.empty()) return std::nullopt;
  const std::string_view key = headers.front();
  if (headers.size() > 1 || key.empty() || key.size() > kMaxIdempotencyKey ||
      !std::all_of(key.begin(), key.end(), is_printable)) {
    throw Refused(400, "bad_request",
                  "Idempotency-Key: expected one, of 1 to 200 printable ASCII characters");
  }
  return std::string(key);
}

}  // namespace rowcrew
