// Tells the service manager that the event loop is alive, from the event loop itself.
#pragma once

#include "base/sd_notify.hpp"
#include "base/service.hpp"

namespace rowcrew {

class Watchdog final : public Service {
 public:
  explicit Watchdog(Clock& clock) : clock_(clock) {}
  std::string_view name() const override { return "watchdog"; }
  boost::asio::awaitable<void> run() override;

 private:
  Clock& clock_;
};

}  // namespace rowcrew
