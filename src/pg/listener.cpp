#include "pg/listener.hpp"

#include <fmt/format.h>

#include <boost/asio/this_coro.hpp>
#include <utility>

#include "base/event.hpp"
#include "pg/backoff.hpp"
#include "pg/connect_attempt.hpp"
#include "pg/listener_link.hpp"
#include "pg/session.hpp"
#include "pg/statement_template.hpp"
#include "sql_pg.hpp"

namespace rowcrew {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::minutes kLineEvery{1};

std::string listen_batch(const ListenerOptions& options) {
  std::string batch(sql_pg::self_test.text);  // acknowledged even without a channel
  batch += ';';
  for (const std::string& channel : options.channels) {
    StatementSet set({{"channel", quote_identifier(channel)}}, "");
    batch += set.render(sql_pg::listen).text;
  }
  batch += settings_batch(options.connection);  // at the end: pg_stat_activity shows how a text begins
  return batch;
}

}  // namespace

struct Listener::State {
  State(ListenerOptions o, Log& l, Clock& c, Random& r)
      : options(std::move(o)),
        connector(options.connection),
        batch(listen_batch(options)),
        log(l),
        clock(c),
        random(r) {}

  void lost(const std::string& reason);
  void ready();

  const ListenerOptions options;
  Connector connector;
  const std::string batch = settings_batch(options.connection);
  OnNotify on_notify;
  std::function<void()> on_ready;
  Log& log;
  Clock& clock;
  Random& random;
  bool connected = false;
  Mono next_line{};  ///< before it nothing more is said of being away
  std::weak_ptr<ConnectAttempt> current;
  ListenerLink* link = nullptr;  ///< while there is one
};

void Listener::State::lost(const std::string& reason) {
  if (std::exchange(connected, false)) options.lost();
  const Mono now = clock.mono();
  if (now < next_line) return;
  next_line = now + kLineEvery;  // why it went is one thing, why it does not come back another
  log.warning(event::kListenerLost, {}, reason);
}

void Listener::State::ready() {
  connected = true;
  next_line = Mono{};
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

void Listener::probe() {
  if (state_->link != nullptr) state_->link->probe();
}

bool Listener::connected() const {
  return state_->connected;
}

asio::awaitable<void> Listener::run() {
  struct Disconnected {
    State& state;
    ~Disconnected() {
      state.connected = false;
      state.link = nullptr;
    }
  };
  const auto state = state_;
  const Disconnected on_exit{*state};
  const auto executor = co_await asio::this_coro::executor;
  Backoff backoff;
  for (;;) {
    auto attempt = co_await ConnectAttempt::make(state->connector, state->batch, state->current);
    if (attempt->connection) {
      ListenerLink link(std::move(attempt->connection), executor, state->clock);
      const Disconnected on_loss{*state};
      state->link = &link;
      attempt.reset();
      backoff.reset();
      state->ready();
      state->lost(co_await link.watch(state->on_notify, state->options.self_test,
                                      state->options.connection.connect_timeout));
    } else {
      if (attempt->crowded()) state->options.crowded();
      state->lost(attempt->failure());
    }
    co_await state->clock.sleep_until(state->clock.mono() + backoff.next(state->random.unit()));
  }
}

}  // namespace rowcrew
