// One JSON object read key by key: every value in its range, no key left over.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace rowcrew::image {

/// Every look-up throws Failure with the code given here and a sentence such as "step 2 (sharpen):
/// amount: 7 found, expected a number from 0 to 3".
class JsonFields {
 public:
  /// `object` must outlive this.
  JsonFields(const nlohmann::json& object, std::string subject, std::string code);

  std::string text(std::string_view key);
  std::string choice(std::string_view key, std::string_view fallback,
                     const std::vector<std::string>& choices);
  double number(std::string_view key, double fallback, double min, double max);
  /// Required.
  long long integer(std::string_view key, long long min, long long max);
  long long integer(std::string_view key, long long fallback, long long min, long long max);
  const nlohmann::json& object(std::string_view key);
  const nlohmann::json* find(std::string_view key);
  /// Throws when a key was never asked for.
  void finish() const;

  [[noreturn]] void refuse(std::string_view key, const std::string& expected) const;

 private:
  const nlohmann::json& object_;
  std::string subject_;
  std::string code_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace rowcrew::image
