#include <rowcrew/provider_verdict.hpp>

#include <algorithm>

#include <rowcrew/retry_after.hpp>
#include "base/escape.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostWords = 300;
constexpr std::chrono::seconds kLongestAsked = 24h;

std::string http_code(const std::string& provider, int status) {
  return provider + "_http_" + std::to_string(status);
}

}  // namespace

ProviderVerdict judge_status(const std::string& provider, const HttpResponse& response,
                             std::chrono::system_clock::time_point now) {
  using Act = ProviderVerdict::Act;
  const int status = response.status;
  if (status >= 200 && status <= 299) return {};
  const std::string what = provider + ": answered " + std::to_string(status);
  const auto asked = retry_after(response.headers, now, kLongestAsked);
  switch (status) {
    case 401:
    case 402:
    case 403:
      return {Act::shut, provider + "_refuses_us", what + ", expected a key that may do this"};
    case 429:
      return {Act::wait, provider + "_rate_limited", what + ", too many calls", asked.value_or(60s)};
    case 408:
    case 409:
    case 425: return {Act::again, http_code(provider, status), what, asked};
    default: break;
  }
  return {status >= 500 ? Act::again : Act::fail, http_code(provider, status), what,
          status >= 500 ? asked : std::nullopt};
}

std::string provider_words(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; }, ' ');
  text = cut_utf8(text, kMostWords);
  if (is_utf8(text)) return text;
  std::string ascii;
  std::copy_if(text.begin(), text.end(), std::back_inserter(ascii),
               [](unsigned char c) { return c < 0x80; });
  return ascii;
}

}  // namespace rowcrew
