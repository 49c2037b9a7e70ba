#include "cli/api_key.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include <rowcrew/error.hpp>

#include "base/units.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::size_t kMaxJobType = 100;
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

}  // namespace

std::string make_api_key(Random& random) {
  constexpr int kCharacters = 43;  // 258 bits, of which the last two are 0, as base64url has it
  const std::uint64_t words[4] = {random.bits(), random.bits(), random.bits(), random.bits()};
  const auto bit = [&](int at) { return at < 256 ? (words[at / 64] >> (63 - at % 64)) & 1U : 0U; };
  std::string key = "rc_";
  for (int i = 0; i < kCharacters; ++i) {
    std::size_t six = 0;
    for (int j = 0; j < 6; ++j) six = six * 2 + bit(i * 6 + j);
    key += kAlphabet[six];
  }
  return key;
}

std::vector<std::string> parse_job_types(std::string_view list) {
  std::vector<std::string> types;
  for (;;) {
    const auto comma = list.find(',');
    const std::string_view type = trimmed(list.substr(0, comma));
    const bool visible =
        std::all_of(type.begin(), type.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    if (type.empty() || type.size() > kMaxJobType || !visible) {
      throw UsageError(fmt::format(
          "--job-types: {}, expected names such as mail.send,report, or \"*\"", shown(type)));
    }
    types.emplace_back(type);
    if (comma == list.npos) return types;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace rowcrew::cli
