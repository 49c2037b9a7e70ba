#include "pg/listener.hpp"

#include <fmt/format.h>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <system_error>
#include <thread>

#include "base/event.hpp"
#include "pg/backoff.hpp"
#include "pg/continuation.hpp"
#include "pg/listener_link.hpp"
#include "pg/statement_template.hpp"
#include "sql_pg.hpp"

namespace rowcrew {
namespace {

namespace asio = boost::asio;

std::string listen_batch(const std::vector<std::string>& channels) {
  std::string batch(sql_pg::self_test.text);  // acknowledged even without a channel
  batch += ';';
  for (const std::string& channel : channels) {
    StatementSet set({{"channel", quote_identifier(channel)}}, "");
    batch += set.render(sql_pg::listen).text;
  }
  return batch;
}

/// One attempt to connect, on a thread of its own.
struct Attempt {
  Interrupt interrupt;
  Connection connection;  ///< written by the thread, read after its end
  std::string failure;
  std::thread thread;

  void run(Connector& connector, const std::string& batch) {
    try {
      connection = connector.connect(&interrupt);
      run_batch(connection.get(), batch, connector.options().connect_timeout, &interrupt);
    } catch (const std::exception& error) {
      connection.reset();
      failure = error.what();
    }
  }
  void end() {
    interrupt.trigger();
    join();
  }
  void join() {
    if (thread.joinable()) thread.join();
  }
  ~Attempt() { end(); }
};

}  // namespace

struct Listener::State {
  State(ListenerOptions o, Log& l, Clock& c, Random& r)
      : options(std::move(o)),
        connector(options.connection),
        batch(listen_batch(options.channels)),
        log(l),
        clock(c),
        random(r) {}

  asio::awaitable<std::shared_ptr<Attempt>> attempt();
  void lost(const std::string& reason);
  void ready();

  const ListenerOptions options;
  Connector connector;
  const std::string batch;
  OnNotify on_notify;
  std::function<void()> on_ready;
  Log& log;
  Clock& clock;
  Random& random;
  bool connected = false;
  bool lost_said = false;
  std::weak_ptr<Attempt> current;
};

/// Resumes when the attempt has ended. Being cancelled makes it end, and is thrown then.
asio::awaitable<std::shared_ptr<Attempt>> Listener::State::attempt() {
  auto made = std::make_shared<Attempt>();
  current = made;
  auto initiate = [this, made](auto handler) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected()) {
      slot.assign([weak = std::weak_ptr(made)](asio::cancellation_type) {
        if (const auto attempt = weak.lock()) attempt->interrupt.trigger();
      });
    }
    auto resume = continuation<>(std::move(handler));
    try {
      // Not the owner of the attempt: a thread cannot join itself.
      made->thread = std::thread([this, attempt = made.get(), resume] {
        attempt->run(connector, batch);
        resume();
      });
    } catch (const std::system_error& error) {  // no thread to be had
      made->failure = error.what();
      resume();
    }
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(std::move(initiate),
                                                                        asio::use_awaitable);
  made->join();
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return made;
}

void Listener::State::lost(const std::string& reason) {
  connected = false;
  if (lost_said) return;
  lost_said = true;
  log.warning(event::kListenerLost, {}, reason);
}

void Listener::State::ready() {
  connected = true;
  lost_said = false;
  log.info(event::kListenerReady, {{"channels", options.channels.size()}}, "listening");
  on_ready();
}

Listener::Listener(ListenerOptions options, OnNotify on_notify, std::function<void()> on_ready,
                   Log& log, Clock& clock, Random& random)
    : state_(std::make_shared<State>(std::move(options), log, clock, random)) {
  state_->on_notify = std::move(on_notify);
  state_->on_ready = std::move(on_ready);
}

Listener::~Listener() {
  // A coroutine may outlive us in an io_context that never runs again; the thread that would wake
  // it may not, because it needs that io_context.
  if (const auto attempt = state_->current.lock()) attempt->end();
}

bool Listener::connected() const {
  return state_->connected;
}

asio::awaitable<void> Listener::run() {
  struct Disconnected {
    State& state;
    ~Disconnected() { state.connected = false; }
  };
  const auto state = state_;
  const Disconnected on_exit{*state};
  const auto executor = co_await asio::this_coro::executor;
  Backoff backoff;
  for (;;) {
    auto attempt = co_await state->attempt();
    if (attempt->connection) {
      ListenerLink link(std::move(attempt->connection), executor, state->clock);
      attempt.reset();
      backoff.reset();
      state->ready();
      state->lost(co_await link.watch(state->on_notify, state->options.self_test,
                                      state->options.connection.connect_timeout));
    } else {
      state->lost(attempt->failure);
    }
    co_await state->clock.sleep_until(state->clock.mono() + backoff.next(state->random.unit()));
  }
}

}  // namespace rowcrew
