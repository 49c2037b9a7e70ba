// How late the event loop is: timers that should fire each second, and by how much they do not.
#pragma once

#include <string>

#include "base/histogram.hpp"
#include "base/service.hpp"

namespace rowcrew {

class LoopLag final : public Service {
 public:
  explicit LoopLag(Clock& clock) : clock_(clock), late_(kBounds) {}

  std::string_view name() const override { return "loop_lag"; }
  boost::asio::awaitable<void> run() override;
  std::string text() const;

 private:
  static constexpr double kBounds[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5};

  Clock& clock_;
  Histogram late_;
};

}  // namespace rowcrew
