// Prices of model providers and what a call costs by them: exact, rounded once. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include <rowcrew/settings.hpp>

namespace rowcrew {

/// Micros (millionths of the account's currency) per million units, from a decimal such as "0.15": 0 to
/// 1000000, at most six places behind the point. Throws ConfigError that names the key. Absent: `fallback`.
std::int64_t read_price(const Settings& section, std::string_view key, std::int64_t fallback = 0);

/// What one call costs.
class Cost {
 public:
  /// `units` that the provider counted, at so many micros per million; negative ones count as none.
  void add(std::int64_t units, std::int64_t micros_per_million);
  /// Rounded to the nearest micro; what would not fit is the largest number that does.
  std::int64_t micros() const { return rest_ * 2 >= 1'000'000 ? whole_ + 1 : whole_; }

 private:
  std::int64_t whole_ = 0;
  std::int64_t rest_ = 0;  ///< millionths of a micro
};

}  // namespace rowcrew
