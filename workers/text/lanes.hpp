// Whether calling one provider makes sense now: the account as a whole, and each of its models. Pure.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include <rowcrew/provider_lane.hpp>

namespace rowcrew::text {

/// Keys and balances are the account's; limits, overload and retirement are of a model, and must not keep the others waiting.
class Lanes {
 public:
  /// As ProviderLane: nullopt for a call, of which tell() or forget() follows.
  std::optional<std::chrono::milliseconds> admit(const std::string& model, Mono now);
  bool tell(const std::string& model, const ProviderVerdict& verdict, Mono now);
  void forget(const std::string& model);
  /// The code of what closed it for this model.
  const std::string& why(const std::string& model) const;

 private:
  ProviderLane account_;
  std::map<std::string, ProviderLane> models_;  ///< as many as are configured
};

}  // namespace rowcrew::text
