#include "support/node/test_handlers.hpp"

#include <boost/asio/this_coro.hpp>
#include <csignal>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include <rowcrew/clock.hpp>
#include <rowcrew/enqueue.hpp>
#include <rowcrew/handler.hpp>
#include <rowcrew/job_transactions.hpp>

namespace rowcrew::testing {
namespace {

using boost::asio::awaitable;
using Body = awaitable<Outcome> (*)(JobContext&, Clock&);

class FunctionHandler final : public Handler {
 public:
  FunctionHandler(Body body, Clock& clock) : body_(body), clock_(clock) {}
  awaitable<Outcome> run(JobContext& context) override { return body_(context, clock_); }

 private:
  Body body_;
  Clock& clock_;
};

std::chrono::milliseconds ms_of(JobContext& context) {
  return std::chrono::milliseconds(context.payload().value("ms", 0));
}

awaitable<Outcome> noop(JobContext&, Clock&) { co_return Outcome(Completed()); }

awaitable<Outcome> wait(JobContext& context, Clock& clock) {
  co_await clock.sleep_until(clock.mono() + ms_of(context));
  co_return Outcome(Completed());
}

awaitable<Outcome> flaky(JobContext& context, Clock&) {
  const int failures = context.payload().value("fail", 1);
  if (context.job().attempt <= failures) co_return Outcome(Retry("flaky", "not yet", std::chrono::milliseconds(10)));
  co_return Outcome(Completed(R"({"attempt":)" + std::to_string(context.job().attempt) + "}"));
}

awaitable<Outcome> fail(JobContext&, Clock&) { co_return Outcome(Failed("asked_to", "it was asked to fail")); }

awaitable<Outcome> throwing(JobContext&, Clock&) {
  throw std::runtime_error("a foreign exception");
  co_return Outcome(Completed());
}

awaitable<Outcome> stubborn(JobContext& context, Clock& clock) {
  co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
  const Mono until = clock.mono() + ms_of(context);
  while (clock.mono() < until) co_await clock.sleep_until(until);
  co_return Outcome(Completed());
}

awaitable<Outcome> crash(JobContext&, Clock&) {
  std::raise(SIGKILL);
  co_return Outcome(Completed());
}

/// Keeps the event thread for `ms`: what no handler may do.
awaitable<Outcome> spin(JobContext& context, Clock& clock) {
  const Mono until = clock.mono() + ms_of(context);
  co_await clock.sleep_until(clock.mono() + std::chrono::milliseconds(10));  // not only before its first await
  while (clock.mono() < until) {
  }
  co_return Outcome(Completed());
}

/// Goes through `steps` steps and fails after each, going on where the last execution stood.
awaitable<Outcome> steps(JobContext& context, Clock& clock) {
  const std::string last = co_await context.last_checkpoint();
  const int done = last.empty() ? 0 : std::stoi(last);
  const int all = context.payload().value("steps", 3);
  context.progress(100 * done / all, "step " + std::to_string(done + 1));
  if (ms_of(context) > std::chrono::milliseconds(0)) co_await clock.sleep_until(clock.mono() + ms_of(context));
  if (done >= all) co_return Outcome(Completed(last));
  context.checkpoint(std::to_string(done + 1));
  co_return Outcome(Retry("step", "one step further", std::chrono::milliseconds(10)));
}

awaitable<Outcome> wordy(JobContext& context, Clock&) {
  co_return Outcome(Completed("\"" + std::string(context.payload().value("bytes", 10), 'x') + "\""));
}

awaitable<Outcome> snooze(JobContext& context, Clock&) {
  if (context.payload().value("ms", 0) > 0 && context.job().attempt == 1) {
    co_return Outcome(Snooze(ms_of(context), "asked to"));
  }
  co_return Outcome(Completed());
}

constexpr Statement kEffect{"test_effect", "SELECT shop.buy($1::uuid, $2::jsonb)"};

awaitable<Outcome> effect(JobContext& context, Clock&) {
  auto work = [id = context.job().id, payload = context.job().payload](Tx& tx) {
    tx.exec(kEffect, Params{}.add(id).add(payload));
    return "{\"next\": \"" + enqueue(tx, NewJob("noop")).id + "\"}";
  };
  const Settled settled = co_await context.transactions().complete(context, std::move(work));
  co_return Outcome(settled);
}

}  // namespace

void register_test_handlers(Registry& registry, Deps& deps) {
  const auto add = [&](const char* name, Body body) {
    registry.add(name, std::make_unique<FunctionHandler>(body, deps.clock));
  };
  add("noop", noop);
  add("sleep", wait);
  add("flaky", flaky);
  add("fail", fail);
  add("throw", throwing);
  add("stubborn", stubborn);
  add("crash", crash);
  add("snooze", snooze);
  add("effect", effect);
  add("spin", spin);
  add("steps", steps);
  add("wordy", wordy);
}

}  // namespace rowcrew::testing
