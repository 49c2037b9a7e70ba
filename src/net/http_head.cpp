#include "net/http_head.hpp"

#include <fmt/format.h>

#include "net/http_syntax.hpp"

namespace rowcrew {
namespace http = boost::beast::http;

namespace {

using Head = http::header<true, http::fields>;

Refusal malformed(std::string_view sentence) {
  return Refusal(400, "bad_request", sentence);
}

std::string_view value_of(const Head& head, http::field name) {
  const auto found = head[name];
  return trim_blanks(std::string_view(found.data(), found.size()));
}

/// Requests whose end two servers could see at different places are the raw material of smuggling.
std::optional<Refusal> judge_framing(const Head& head) {
  if (head.count(http::field::content_length) > 1) {
    return malformed("there is more than one Content-Length");
  }
  const bool coded = head.count(http::field::transfer_encoding) > 0;
  if (!coded) return std::nullopt;
  if (head.count(http::field::content_length) > 0) {
    return malformed("there are both Content-Length and Transfer-Encoding");
  }
  if (!equals_ignoring_case(value_of(head, http::field::transfer_encoding), "chunked") ||
      head.count(http::field::transfer_encoding) > 1 || head.version() < 11) {
    return malformed("the Transfer-Encoding is not just chunked");
  }
  return std::nullopt;
}

}  // namespace

ServerResponse Refusal::response() const {
  return ServerResponse(status, "application/json",
                        fmt::format("{{\"error\":\"{}\",\"message\":\"{}\"}}\n", code, sentence));
}

std::optional<Refusal> judge_head(const Head& head) {
  const auto hosts = head.count(http::field::host);
  // HTTP/1.0, which health checks of load balancers still speak, knows no Host.
  if (hosts > 1 || (hosts == 0 && head.version() >= 11)) {
    return malformed("there is not exactly one Host header");
  }
  if (auto refusal = judge_framing(head)) return refusal;
  if (!parse_request_target({head.target().data(), head.target().size()})) {
    return malformed("the request target is not a path, or its percent escapes are broken");
  }
  const auto [first, last] = head.equal_range(http::field::content_encoding);
  for (auto at = first; at != last; ++at) {
    if (!equals_ignoring_case(trim_blanks(std::string_view(at->value())), "identity")) {
      return Refusal(415, "content_encoding", "bodies are taken without Content-Encoding only");
    }
  }
  return std::nullopt;
}

ServerRequest to_request(const Head& head) {
  ServerRequest request;
  request.method = std::string(head.method_string());
  auto target = parse_request_target({head.target().data(), head.target().size()}).value();
  request.path = std::move(target.path);
  request.query = std::move(target.query);
  for (const auto& field : head) {
    request.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  }
  return request;
}

std::string_view ServerRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

}  // namespace rowcrew
