#include <rowcrew/http_answer.hpp>

#include <algorithm>
#include <iterator>

namespace rowcrew {

std::string_view header_of(const HttpHeaders& headers, std::string_view name) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  const auto same = [&](const auto& header) {
    return std::equal(header.first.begin(), header.first.end(), name.begin(), name.end(),
                      [&](char a, char b) { return lower(a) == lower(b); });
  };
  const auto at = std::find_if(headers.begin(), headers.end(), same);
  return at == headers.end() ? std::string_view() : std::string_view(at->second);
}

bool is_unsent(const Error& error) {
  static constexpr std::string_view kBefore[] = {"http_dns", "http_connect", "http_tls", "http_file", "egress_refused"};
  const std::string_view code = error.code();
  return error.error_class() == ErrorClass::bug || code.starts_with("http_bad_") ||
         std::find(std::begin(kBefore), std::end(kBefore), code) != std::end(kBefore);
}

}  // namespace rowcrew
