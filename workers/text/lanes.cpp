#include "lanes.hpp"

namespace rowcrew::text {

std::optional<std::chrono::milliseconds> Lanes::admit(const std::string& model, Mono now) {
  if (const auto closed = account_.admit(now)) return closed;
  const auto closed = models_[model].admit(now);
  if (closed) account_.forget();
  return closed;
}

bool Lanes::tell(const std::string& model, const ProviderVerdict& verdict, Mono now) {
  using Act = ProviderVerdict::Act;
  const ProviderVerdict fine;
  if (verdict.act == Act::wait || (verdict.act == Act::shut && verdict.code.ends_with("_model_unknown"))) {
    account_.tell(fine, now);  // it was let in
    return models_[model].tell(verdict, now);
  }
  if (verdict.act == Act::shut) {
    models_[model].forget();
    return account_.tell(verdict, now);
  }
  account_.tell(verdict, now);
  models_[model].tell(verdict, now);
  return false;
}

void Lanes::forget(const std::string& model) {
  account_.forget();
  models_[model].forget();
}

const std::string& Lanes::why(const std::string& model) const {
  if (!account_.why().empty()) return account_.why();
  const auto at = models_.find(model);
  return at == models_.end() ? account_.why() : at->second.why();
}

}  // namespace rowcrew::text
