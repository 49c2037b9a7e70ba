#include "pg/backoff.hpp"

#include <algorithm>
#include <utility>

namespace rowcrew {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirst{100};
constexpr milliseconds kLongest{3'000};
constexpr std::chrono::minutes kLineEvery{1};
constexpr std::chrono::hours kUntilAnswered{1};

}  // namespace

milliseconds Backoff::next(double unit) {
  const auto whole = std::min(kLongest, kFirst * (1 << std::min(failures_, 10u)));
  ++failures_;
  const double share = 0.5 + 0.5 * unit;
  return milliseconds(static_cast<milliseconds::rep>(static_cast<double>(whole.count()) * share));
}

bool Outage::may_try(SteadyTime now) {
  if (!away()) return true;
  if (now < next_try_) return false;
  trying_ = true;
  next_try_ = now + kUntilAnswered;  // the one who tries moves it; nobody else has to wake up
  return true;
}

bool Outage::failed(SteadyTime now, double unit, std::string reason) {
  ++attempts_;
  reason_ = std::move(reason);
  // Threads that started before the first failure was known do not lengthen the wait.
  if (!away() || trying_) next_try_ = now + backoff_.next(unit);
  trying_ = false;
  if (!away()) since_ = now;
  if (now < next_line_) return false;
  next_line_ = now + kLineEvery;
  return true;
}

std::optional<milliseconds> Outage::succeeded(SteadyTime now) {
  std::optional<milliseconds> span;
  if (since_) span = std::chrono::duration_cast<milliseconds>(now - *since_);
  *this = Outage{};
  return span;
}

}  // namespace rowcrew
