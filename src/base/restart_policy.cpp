#include <algorithm>
#include <cmath>

#include "base/service.hpp"

namespace rowcrew {
namespace {

constexpr auto kWindow = std::chrono::minutes{1};
constexpr std::size_t kTooMany = 5;
constexpr std::chrono::milliseconds kFirstDelay{100};
constexpr std::chrono::milliseconds kLongestDelay{10'000};

}  // namespace

RestartPolicy::Decision RestartPolicy::failed(Mono now, double unit) {
  const bool calm = failures_.empty() || now - failures_.back() >= kWindow;
  streak_ = calm ? 1 : streak_ + 1;
  std::erase_if(failures_, [&](Mono at) { return now - at >= kWindow; });
  failures_.push_back(now);
  if (failures_.size() >= kTooMany) return {Verdict::give_up, {}};

  std::chrono::milliseconds ceiling = kFirstDelay;
  for (unsigned i = 1; i < streak_ && ceiling < kLongestDelay; ++i) ceiling *= 2;
  ceiling = std::min(ceiling, kLongestDelay);
  // Full jitter: nodes that failed together do not come back together.
  const double share = static_cast<double>(ceiling.count()) * unit;
  return {Verdict::restart, std::chrono::milliseconds{std::llround(share)}};
}

}  // namespace rowcrew
