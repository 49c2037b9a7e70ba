#include "runtime/scheduler.hpp"

#include <algorithm>
#include <iterator>
#include <set>

#include "base/event.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
constexpr std::chrono::milliseconds kLongestNap = 10s;  // a new schedule is noticed within this
constexpr std::chrono::milliseconds kAgain = 1s;        // after a failure
constexpr std::size_t kPage = 100;  // ticks in one statement: one each, thousands of a full hour would keep those of a second later waiting

Cron::Moment moment(std::int64_t ms) { return Cron::Moment(std::chrono::milliseconds(ms)); }

}  // namespace

asio::awaitable<void> Scheduler::run() {
  for (;;) {
    const Mono began = state_.clock.mono();
    std::chrono::milliseconds nap = kAgain;
    if (state_.may_claim() && state_.leads()) {
      try {
        nap = co_await pass();
        state_.worked("schedules", "");
      } catch (const Error& e) {
        state_.failed("schedules", "", event::kTickEnqueued, e);
      }
    }
    // From its begin on, since that is when it asked what is due.
    co_await state_.clock.sleep_until(std::max<Mono>(began + nap, state_.clock.mono() + 1ms));
  }
}

asio::awaitable<std::chrono::milliseconds> Scheduler::pass() {
  const Rows rows = co_await state_.db.query(sql::schedule_due, Params{});
  std::chrono::milliseconds nap = kLongestNap;
  std::vector<Tick> ticks;
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
    if (due) ticks.push_back({line.name, *due, cron == nullptr});
    const auto next = cron ? cron->next_after(line.now) : std::optional(line.now + every - line.now.time_since_epoch() % every);
    if (next) nap = std::min(nap, std::max<std::chrono::milliseconds>(*next - line.now, 1ms));
  }
  bool all = true;
  for (std::size_t from = 0; from < ticks.size(); from += kPage) {
    const std::size_t to = std::min(ticks.size(), from + kPage);
    const std::vector<Tick> page(ticks.begin() + static_cast<std::ptrdiff_t>(from), ticks.begin() + static_cast<std::ptrdiff_t>(to));
    const bool made = co_await enqueue_page(page);
    all = all && made;
  }
  co_return all ? nap : std::min(nap, kAgain);
}

Params Scheduler::params_of(const std::vector<Tick>& ticks) {
  std::vector<std::string> schedules;
  std::vector<std::int64_t> moments;
  for (const Tick& tick : ticks) {
    schedules.push_back(tick.schedule);
    moments.push_back(tick.due.time_since_epoch().count());
  }
  Params params;
  params.add_array(schedules).add_array(moments);
  return params;
}

/// False: some of them are to be tried again.
asio::awaitable<bool> Scheduler::enqueue_page(const std::vector<Tick>& page) {
  bool refused = false;
  try {
    co_await enqueue(page);
    for (const Tick& tick : page) state_.worked("schedules", tick.schedule);
  } catch (const DbError& e) {
    if (e.connection_lost()) throw;
    refused = true;
  }
  if (!refused) co_return true;
  bool all = true;
  for (const Tick& tick : page) {  // one that is refused is no reason to make others wait
    const std::vector<Tick> alone{tick};
    try {
      co_await enqueue(alone);
      state_.worked("schedules", tick.schedule);
    } catch (const Error& e) {
      state_.failed("schedules", tick.schedule, event::kTickEnqueued, e);
      all = false;
    }
  }
  co_return all;
}

asio::awaitable<void> Scheduler::enqueue(const std::vector<Tick>& ticks) {
  Params params = params_of(ticks);
  const Rows made = co_await state_.db.query(sql::schedule_enqueue_ticks, std::move(params));
  for (std::size_t i = 0; i < made.size(); ++i) {
    state_.log.info(event::kTickEnqueued, {{"schedule", made.text(i, 1)}, {"job", made.text(i, 0)}});
  }
  co_await tell_skipped(ticks, made);
}

/// Nothing else would say why the nightly job did not run. Polls skip each second, and nobody minds.
asio::awaitable<void> Scheduler::tell_skipped(const std::vector<Tick>& ticks, const Rows& made) {
  std::set<std::string, std::less<>> enqueued;
  for (std::size_t i = 0; i < made.size(); ++i) enqueued.emplace(made.text(i, 1));
  std::vector<Tick> rest;
  std::copy_if(ticks.begin(), ticks.end(), std::back_inserter(rest), [&](const Tick& tick) { return !tick.polls && !enqueued.contains(tick.schedule); });
  if (rest.empty()) co_return;
  Params params = params_of(rest);
  const Rows held = co_await state_.db.query(sql::schedule_skipped_for, std::move(params));
  for (std::size_t i = 0; i < held.size(); ++i) {
    state_.log.info(event::kTickSkipped, {{"schedule", held.text(i, 0)}, {"job", held.text(i, 1)}}, "nothing enqueued: its earlier job has not ended");
  }
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
