#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "base/event.hpp"
#include "base/service.hpp"

namespace asio = boost::asio;

namespace rowcrew {
namespace {

/// One started service. Event thread only.
struct Entry {
  Entry(Service& s, const asio::any_io_executor& executor)
      : service(s), ended(executor, asio::steady_timer::time_point::max()) {}

  Service& service;
  RestartPolicy policy;
  asio::cancellation_signal cancel;
  asio::steady_timer ended;  ///< cancelled when `done` becomes true; never expires
  bool stopping = false;     ///< asked to stop: an end is no failure any more
  bool done = false;         ///< neither running nor to be restarted
};
using EntryPtr = std::shared_ptr<Entry>;

std::string describe(const std::exception_ptr& error) {
  if (!error) return "returned, expected it to run until cancelled";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "unknown exception";
  }
}

bool is_cancellation(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    return e.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

asio::awaitable<void> wait_ended(EntryPtr entry) {
  while (!entry->done) {
    co_await entry->ended.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

}  // namespace

struct Supervisor::State : std::enable_shared_from_this<State> {
  State(asio::any_io_executor e, Clock& c, Random& r, Log& l)
      : executor(std::move(e)), clock(c), random(r), log(l) {}

  void start(Service& service);
  void cancel(Entry& entry);
  asio::awaitable<bool> wait_until(std::vector<EntryPtr> waited, Mono deadline);
  void forget(const Entry* entry) {
    std::erase_if(entries, [entry](const EntryPtr& e) { return e.get() == entry; });
  }

  /// Runs the service again and again; returns when it was stopped or gave up.
  static asio::awaitable<void> supervise(std::shared_ptr<State> self, EntryPtr entry);
  /// Nullopt: give up.
  std::optional<std::chrono::milliseconds> judge(Entry& entry, const std::exception_ptr& error);
  void give_up(Entry& entry);
  /// Says so when a stopped service ended by anything but its cancellation.
  void note_end(Entry& entry, const std::exception_ptr& error);

  asio::any_io_executor executor;
  Clock& clock;
  Random& random;
  Log& log;
  std::function<void(std::string_view)> fatal;
  std::vector<EntryPtr> entries;  ///< in order of their start
};

void Supervisor::State::start(Service& service) {
  auto entry = std::make_shared<Entry>(service, executor);
  entries.push_back(entry);
  auto finished = [entry](std::exception_ptr error) {
    entry->done = true;
    entry->ended.cancel();
    // A stop may cut off a restart delay; anything else (a throwing on_fatal) must not get lost.
    if (error && !entry->stopping) std::rethrow_exception(error);
  };
  asio::co_spawn(executor, supervise(shared_from_this(), entry),
                 asio::bind_cancellation_slot(entry->cancel.slot(), std::move(finished)));
}

asio::awaitable<void> Supervisor::State::supervise(std::shared_ptr<State> self, EntryPtr entry) {
  for (;;) {
    std::exception_ptr error;
    try {
      // A coroutine of its own, so that whatever the service does to its cancellation state ends
      // with it.
      auto body = entry->service.run();
      co_await asio::co_spawn(self->executor, std::move(body), asio::use_awaitable);
    } catch (...) {
      error = std::current_exception();
    }
    if (entry->stopping) {
      self->note_end(*entry, error);
      co_return;
    }
    const auto delay = self->judge(*entry, error);
    if (!delay) {
      self->give_up(*entry);
      co_return;
    }
    co_await self->clock.sleep_until(self->clock.mono() + *delay);
  }
}

std::optional<std::chrono::milliseconds> Supervisor::State::judge(Entry& entry,
                                                                  const std::exception_ptr& error) {
  const auto decision = entry.policy.failed(clock.mono(), random.unit());
  const std::string why = describe(error);
  if (decision.verdict == RestartPolicy::Verdict::give_up) {
    log.error(event::kServiceFailed, {{"service", entry.service.name()}, {"error", why}},
              "failed five times within a minute; giving up");
    return std::nullopt;
  }
  log.warning(
      event::kServiceRestarted,
      {{"service", entry.service.name()}, {"error", why}, {"delay_ms", decision.delay.count()}},
      "failed; starting it again");
  return decision.delay;
}

void Supervisor::State::give_up(Entry& entry) {
  // Taken out first: it is called once, whatever it does.
  if (const auto handler = std::exchange(fatal, nullptr)) handler(entry.service.name());
}

void Supervisor::State::note_end(Entry& entry, const std::exception_ptr& error) {
  if (!error || is_cancellation(error)) return;
  log.warning(event::kServiceFailed,
              {{"service", entry.service.name()}, {"error", describe(error)}},
              "failed while it was stopping");
}

void Supervisor::State::cancel(Entry& entry) {
  entry.stopping = true;
  if (!entry.done) entry.cancel.emit(asio::cancellation_type::terminal);
}

asio::awaitable<bool> Supervisor::State::wait_until(std::vector<EntryPtr> waited, Mono deadline) {
  using namespace asio::experimental::awaitable_operators;
  bool all = true;
  for (const EntryPtr& entry : waited) {
    if (!entry->done) {
      auto ended = wait_ended(entry);
      auto late = clock.sleep_until(deadline);
      co_await (std::move(ended) || std::move(late));
    }
    if (entry->done) {
      forget(entry.get());
    } else {
      all = false;
    }
  }
  co_return all;
}

Supervisor::Supervisor(asio::any_io_executor executor, Clock& clock, Random& random, Log& log)
    : state_(std::make_shared<State>(std::move(executor), clock, random, log)) {}

Supervisor::~Supervisor() {
  for (const EntryPtr& entry : state_->entries) state_->cancel(*entry);
}

void Supervisor::on_fatal(std::function<void(std::string_view service)> handler) {
  state_->fatal = std::move(handler);
}

void Supervisor::start(Service& service) {
  state_->start(service);
}

asio::awaitable<bool> Supervisor::stop(Service& service, std::chrono::milliseconds within) {
  const auto state = state_;
  std::vector<EntryPtr> waited;
  for (const EntryPtr& entry : state->entries) {
    if (&entry->service == &service) waited.push_back(entry);
  }
  for (const EntryPtr& entry : waited) state->cancel(*entry);
  auto ended = state->wait_until(std::move(waited), state->clock.mono() + within);
  co_return co_await std::move(ended);
}

asio::awaitable<bool> Supervisor::stop_all(std::chrono::milliseconds within) {
  const auto state = state_;
  std::vector<EntryPtr> waited(state->entries.rbegin(), state->entries.rend());
  for (const EntryPtr& entry : waited) state->cancel(*entry);
  auto ended = state->wait_until(std::move(waited), state->clock.mono() + within);
  co_return co_await std::move(ended);
}

std::exception_ptr run_until_ended(asio::io_context& io, asio::awaitable<void> live) {
  std::exception_ptr error;
  asio::co_spawn(io, std::move(live), [&io, &error](std::exception_ptr e) {
    error = e;
    io.stop();
  });
  io.run();
  return error;
}

}  // namespace rowcrew
