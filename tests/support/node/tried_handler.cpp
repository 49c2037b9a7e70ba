#include "support/node/tried_handler.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>
#include <cstdlib>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include <rowcrew/clock.hpp>
#include <rowcrew/handler.hpp>

namespace rowcrew::testing {
namespace {

class Tries {
 public:
  Tries() {
    if (const char* path = std::getenv("TEST_TRIES_FILE")) {
      file_ = ::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
      if (file_ < 0) throw std::runtime_error(fmt::format("TEST_TRIES_FILE: cannot open {}", path));
    }
  }

  void note(const std::string& job, const char* what, Mono when) const {
    if (file_ < 0) return;
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(when.time_since_epoch()).count();
    const std::string line = fmt::format("{} {} {} {}\n", job, what, us, ::getpid());
    // One write of a line: those of several processes do not mix.
    if (::write(file_, line.data(), line.size()) < 0) std::abort();
  }

 private:
  int file_ = -1;
};

class Execution {
 public:
  Execution(const Tries& tries, const Clock& clock, std::string job)
      : tries_(tries), clock_(clock), job_(std::move(job)) {
    tries_.note(job_, "start", clock_.mono());
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;
  ~Execution() { tries_.note(job_, "end", clock_.mono()); }

 private:
  const Tries& tries_;
  const Clock& clock_;
  std::string job_;
};

class TriedHandler final : public Handler {
 public:
  explicit TriedHandler(Clock& clock) : clock_(clock) {}

  boost::asio::awaitable<Outcome> run(JobContext& context) override {
    const Execution execution(tries_, clock_, context.job().id);
    const bool stubborn = context.payload().value("stubborn", false);
    if (stubborn) {
      co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
    }
    const std::chrono::milliseconds span(context.payload().value("ms", 0));
    const Mono until = clock_.mono() + span;
    while (clock_.mono() < until) co_await clock_.sleep_until(until);
    co_return Outcome(Completed());
  }

 private:
  Clock& clock_;
  Tries tries_;
};

}  // namespace

void register_tried(Registry& registry, Deps& deps) {
  registry.add("tried", std::make_unique<TriedHandler>(deps.clock));
}

}  // namespace rowcrew::testing
