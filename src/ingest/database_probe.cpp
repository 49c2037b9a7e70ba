#include "ingest/database_probe.hpp"

#include <string>

#include "base/event.hpp"
#include "ingest/answers.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

constexpr auto kWhileReady = 5s;
constexpr auto kWhileAway = 1s;
constexpr auto kLineEvery = 1min;

}  // namespace

boost::asio::awaitable<void> DatabaseProbe::run() {
  for (;;) {
    co_await ask();
    const auto nap = ready() ? kWhileReady : kWhileAway;
    co_await clock_.sleep_until(clock_.mono() + nap);
  }
}

boost::asio::awaitable<void> DatabaseProbe::ask() {
  Params params;
  params.add("no such key");
  try {
    co_await db_.query(sql::ingest_key, std::move(params));
    note_success();
  } catch (const Error& e) {
    note_failure(e);
  }
}

void DatabaseProbe::note_failure(const Error& error) {
  const std::string_view advice = setup_advice(error);
  if (advice.empty()) return;  // the pool speaks of a database that is away
  set_up_ = false;
  const Mono now = clock_.mono();
  if (next_line_ && now < *next_line_) return;
  next_line_ = now + kLineEvery;
  log_.error(event::kIngestNotSetUp, {{"code", error.code()}}, advice);
}

}  // namespace rowcrew
