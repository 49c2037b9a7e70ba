// A clock that stands still until a test moves it.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include <rowcrew/clock.hpp>
#include <rowcrew/random.hpp>

namespace rowcrew::testing {

class FakeClock final : public Clock {
 public:
  FakeClock();
  ~FakeClock() override;
  Mono mono() const override { return now_; }
  std::chrono::system_clock::time_point wall() const override;
  boost::asio::awaitable<void> sleep_until(Mono when) override;

  /// Moves time and wakes due sleepers in order of their due times.
  void advance(std::chrono::nanoseconds by);
  std::size_t sleepers() const;

 private:
  struct Sleeper;
  Mono now_{std::chrono::hours(1)};
  std::multimap<Mono, std::weak_ptr<Sleeper>> sleepers_;
};

/// Deals a scripted sequence, then a counter.
class FakeRandom final : public Random {
 public:
  explicit FakeRandom(std::vector<std::uint64_t> script = {}) : script_(std::move(script)) {}
  std::uint64_t bits() override {
    return at_ < script_.size() ? script_[at_++] : ++counter_;
  }

 private:
  std::vector<std::uint64_t> script_;
  std::size_t at_ = 0;
  std::uint64_t counter_ = 0;
};

}  // namespace rowcrew::testing
