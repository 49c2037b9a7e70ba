#include "runtime/scheduler.hpp"

#include <algorithm>

#include "base/event.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
constexpr std::chrono::milliseconds kLongestNap = 10s;  // a new schedule is noticed within this
constexpr std::chrono::milliseconds kAgain = 1s;        // after a failure

Cron::Moment moment(std::int64_t ms) { return Cron::Moment(std::chrono::milliseconds(ms)); }

}  // namespace

asio::awaitable<void> Scheduler::run() {
  for (;;) {
    std::chrono::milliseconds nap = kAgain;
    if (state_.may_claim() && state_.leads()) {
      try {
        nap = co_await pass();
        state_.worked("schedules", "");
      } catch (const Error& e) {
        state_.failed("schedules", "", event::kTickEnqueued, e);
      }
    }
    co_await state_.clock.sleep_until(state_.clock.mono() + nap);
  }
}

asio::awaitable<std::chrono::milliseconds> Scheduler::pass() {
  const Rows rows = co_await state_.db.query(sql::schedule_due, Params{});
  std::chrono::milliseconds nap = kLongestNap;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Line line;
    line.name = rows.text(i, 0);
    line.cron = rows.text(i, 1);
    line.every_ms = rows.is_null(i, 2) ? 0 : rows.integer(i, 2);
    line.zone = rows.text(i, 3);
    line.last = moment(rows.integer(i, 4));
    line.now = moment(rows.integer(i, 5));
    const Cron* cron = line.every_ms > 0 ? nullptr : parsed(line);
    if (line.every_ms == 0 && cron == nullptr) continue;
    const std::chrono::milliseconds every(line.every_ms);
    const auto due = cron ? cron->latest_in(line.last, line.now) : latest_interval(every, line.last, line.now);
    if (due) {
      try {
        co_await enqueue(line, *due);
        state_.worked("schedules", line.name);
      } catch (const Error& e) {  // no reason to make other schedules wait
        state_.failed("schedules", line.name, event::kTickEnqueued, e);
        nap = std::min(nap, kAgain);
      }
    }
    const auto next = cron ? cron->next_after(line.now) : std::optional(line.now + every - line.now.time_since_epoch() % every);
    if (next) nap = std::min(nap, std::max<std::chrono::milliseconds>(*next - line.now, 1ms));
  }
  co_return nap;
}

asio::awaitable<void> Scheduler::enqueue(const Line& line, Cron::Moment due) {
  Params params;
  params.add(line.name).add(due.time_since_epoch().count());
  const Rows made = co_await state_.db.query(sql::schedule_enqueue_tick, std::move(params));
  if (made.empty()) co_return;
  state_.log.info(event::kTickEnqueued, {{"schedule", line.name}, {"job", made.text(0, 0)}});
}

const Cron* Scheduler::parsed(const Line& line) {
  const std::string key = line.zone + "\n" + line.cron;
  const auto known = parsed_.find(key);
  if (known != parsed_.end()) return &known->second;
  try {
    return &parsed_.emplace(key, Cron::parse(line.cron, line.zone)).first->second;
  } catch (const ConfigError& e) {
    if (!complained_[line.name + key]) {
      complained_[line.name + key] = true;
      state_.log.error(event::kTickEnqueued, {{"schedule", line.name}}, e.what());
    }
    return nullptr;
  }
}

}  // namespace rowcrew
