// Enqueues the jobs of schedules. Every node runs it; the unique row per tick decides who enqueues.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/service.hpp"
#include "queue/cron.hpp"
#include "runtime/node_state.hpp"

namespace rowcrew {

class Scheduler final : public Service {
 public:
  explicit Scheduler(NodeState& state) : state_(state) {}
  std::string_view name() const override { return "scheduler"; }
  boost::asio::awaitable<void> run() override;

 private:
  struct Line {
    std::string name;
    std::string cron;
    std::string zone;
    std::int64_t every_ms = 0;
    Cron::Moment last;
    Cron::Moment now;
  };
  struct Tick {
    std::string schedule;
    Cron::Moment due;
    bool polls;  ///< of an interval
  };
  static Params params_of(const std::vector<Tick>& ticks);
  boost::asio::awaitable<std::chrono::milliseconds> pass();
  boost::asio::awaitable<bool> enqueue_page(const std::vector<Tick>& page);
  boost::asio::awaitable<void> enqueue(const std::vector<Tick>& ticks);
  boost::asio::awaitable<void> tell_skipped(const std::vector<Tick>& ticks, const Rows& made);
  const Cron* parsed(const Line& line);

  NodeState& state_;
  std::map<std::string, Cron> parsed_;     ///< by zone and line
  std::map<std::string, bool> complained_;  ///< schedules whose line is wrong: said once
};

}  // namespace rowcrew
