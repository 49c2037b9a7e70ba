#include "pg/lane.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <deque>
#include <optional>
#include <unordered_set>

#include "pg/connect_attempt.hpp"
#include "pg/db_metrics.hpp"
#include "pg/server_error.hpp"
#include "pg/server_text.hpp"
#include "pg/pipeline_answer.hpp"
#include "pg/session.hpp"
#include "pg/sqlstate.hpp"
#include "pg/statement_values.hpp"

namespace rowcrew {
namespace {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

/// How much later than its statement_timeout a server may answer.
constexpr std::chrono::seconds kAnswerGrace{2};

using Values = std::vector<const char*>;

}  // namespace

struct Lane::State {
  State(PoolOptions options, asio::any_io_executor ex, Clock& the_clock)
      : connector(std::move(options)), settings(settings_batch(connector.options())), executor(std::move(ex)),
        clock(the_clock), overdue(executor) {}

  /// One exec(). The first of those under way receives its answer.
  struct Exchange {
    Exchange(const std::vector<Call>& what, const asio::any_io_executor& executor)
        : calls(what), first(executor, asio::steady_timer::time_point::max()) {}
    const std::vector<Call>& calls;
    PipelineAnswer answer;
    asio::steady_timer first;  ///< cancelled when it is
    bool sent = false;
    bool lost = false;  ///< with its connection, while it was behind another
  };

  asio::awaitable<std::vector<Rows>> exec(const std::vector<Call>& calls);
  asio::awaitable<std::vector<Rows>> exchange(Exchange& own);
  asio::awaitable<void> become_first(Exchange& own);
  bool may_follow(const Exchange& own) const;
  void leave(const Exchange& own);
  asio::awaitable<void> open();
  void send(Exchange& own);
  asio::awaitable<void> flush();
  asio::awaitable<void> receive(PipelineAnswer& answer);
  asio::awaitable<void> wait_readable();
  void allow_time();
  void watch_time();
  void close();
  [[noreturn]] void lost(bool outcome_unknown);

  Connector connector;
  const std::string settings;
  asio::any_io_executor executor;
  Clock& clock;
  Connection connection;
  std::optional<stream_descriptor> socket;
  std::unordered_set<std::string> prepared;
  std::deque<Exchange*> under_way;
  asio::steady_timer overdue;
  asio::steady_timer::time_point answer_due;
  bool late = false;
  std::weak_ptr<ConnectAttempt> attempt;
};

void Lane::State::close() {
  overdue.cancel();
  if (socket) socket->release();  // libpq closes its own descriptor
  socket.reset();
  connection.reset();
  prepared.clear();
  for (Exchange* exchange : under_way) exchange->lost = exchange->sent;
}

void Lane::State::lost(bool outcome_unknown) {
  std::string reason = connection ? last_error(connection.get()) : "";
  if (late) reason = "no answer in time";
  if (reason.empty()) reason = "the connection is gone";
  close();
  throw DbError(ErrorClass::transient, "", "database: " + reason, true, outcome_unknown);
}

asio::awaitable<void> Lane::State::open() {
  if (connection && PQstatus(connection.get()) == CONNECTION_OK) co_return;
  close();
  const auto made = co_await ConnectAttempt::make(connector, settings, attempt);
  if (!made->connection) std::rethrow_exception(made->error);
  connection = std::move(made->connection);
  socket.emplace(executor, PQsocket(connection.get()));
  PQsetnonblocking(connection.get(), 1);
  if (PQenterPipelineMode(connection.get()) == 0) lost(false);
}

/// Each statement may take its statement_timeout: a server that is slow with every one of them is not
/// one that hangs.
void Lane::State::allow_time() { answer_due = std::chrono::steady_clock::now() + connector.options().statement_timeout + kAnswerGrace; }

/// One timer, however often it is put off; cancelling the socket's waits is how it makes itself heard.
void Lane::State::watch_time() {
  overdue.expires_at(answer_due);
  overdue.async_wait([this](boost::system::error_code ec) {
    const auto now = std::chrono::steady_clock::now();
    if (ec || !socket || overdue.expiry() > now) return;
    if (answer_due > now) return watch_time();
    late = true;
    socket->cancel();
  });
}

void Lane::State::send(Exchange& own) {
  PGconn* pg = connection.get();
  const std::vector<Call>& calls = own.calls;
  std::vector<Values> all;  // refused before anything is sent
  for (const Call& call : calls) all.push_back(statement_values(call.statement, call.params));
  std::unordered_set<std::string> coming;
  own.sent = true;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Call& call = calls[i];
    const Values& values = all[i];
    const std::string name = prepared_name(call.statement.name);
    if (!prepared.contains(name) && coming.insert(name).second) {
      own.answer.expect_prepare(call.statement.name, name);
      if (PQsendPrepare(pg, name.c_str(), std::string(call.statement.text).c_str(), 0, nullptr) == 0) lost(false);
    }
    own.answer.expect_rows(call.statement.name);
    if (PQsendQueryPrepared(pg, name.c_str(), static_cast<int>(values.size()), values.data(), nullptr, nullptr, 0) == 0) {
      lost(false);
    }
    // Or the server would keep its answers until the last one, and nobody could tell a slow one from one that hangs.
    if (i + 1 < calls.size() && PQsendFlushRequest(pg) == 0) lost(false);
  }
  if (PQpipelineSync(pg) == 0) lost(false);
}

asio::awaitable<void> Lane::State::wait_readable() {
  const auto [ec] = co_await socket->async_wait(stream_descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
  if (late || !connection) lost(true);  // or closed by one behind that was cancelled
  if (ec) {
    close();
    throw boost::system::system_error(ec);
  }
}

/// More than the socket takes at once: the server may be writing answers meanwhile, and neither side
/// must wait for the other.
asio::awaitable<void> Lane::State::flush() {
  using namespace asio::experimental::awaitable_operators;
  for (;;) {
    const int left = PQflush(connection.get());
    if (left < 0) lost(true);
    if (left == 0) co_return;
    auto readable = socket->async_wait(stream_descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
    auto writable = socket->async_wait(stream_descriptor::wait_write, asio::as_tuple(asio::use_awaitable));
    auto either = std::move(readable) || std::move(writable);
    co_await std::move(either);
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      close();
      throw boost::system::system_error(asio::error::operation_aborted);
    }
    if (late || PQconsumeInput(connection.get()) == 0) lost(true);
    allow_time();
  }
}

asio::awaitable<void> Lane::State::receive(PipelineAnswer& answer) {
  PGconn* pg = connection.get();
  while (!answer.complete()) {
    if (PQisBusy(pg) != 0) {
      if (!holds_input(pg)) co_await wait_readable();
      if (PQconsumeInput(pg) == 0) lost(true);
      continue;
    }
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(pg), &PQclear);
    if (result) answer.take(result.get());
    allow_time();
    if (PQstatus(pg) != CONNECTION_OK) lost(true);
  }
}

/// Behind all others, which were sent. What is prepared on the way may fail, and would be missed by whoever
/// relied on it.
bool Lane::State::may_follow(const Exchange& own) const {
  const Exchange& before = **(under_way.end() - 2);
  if (!before.sent || !connection || PQstatus(connection.get()) != CONNECTION_OK) return false;
  return std::all_of(own.calls.begin(), own.calls.end(), [this](const Call& call) { return prepared.contains(prepared_name(call.statement.name)); });
}

/// Returns when no answer is due before its own.
asio::awaitable<void> Lane::State::become_first(Exchange& own) {
  if (may_follow(own)) {
    send(own);
    if (PQflush(connection.get()) < 0) close();  // who is first finds out as well
  }
  boost::system::error_code woken;
  co_await own.first.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  if (under_way.front() == &own) co_return;
  if (own.sent) close();
  throw boost::system::system_error(asio::error::operation_aborted);
}

asio::awaitable<std::vector<Rows>> Lane::State::exchange(Exchange& own) {
  if (under_way.front() != &own) co_await become_first(own);
  if (own.lost) lost(true);
  if (!own.sent) {
    co_await open();
    send(own);
  }
  late = false;
  allow_time();
  watch_time();
  co_await flush();
  co_await receive(own.answer);
  overdue.cancel();
  own.sent = false;  // and answered
  for (const std::string& name : own.answer.prepared()) prepared.insert(name);
  if (const auto& error = own.answer.error()) {
    const DbError thrown = lost_if_read_only(*error, connection.get());
    if (spoils_session(thrown.sqlstate())) close();
    throw DbError(thrown);
  }
  co_return own.answer.rows();
}

void Lane::State::leave(const Exchange& own) {
  std::erase(under_way, &own);
  if (!under_way.empty()) under_way.front()->first.cancel();
}

asio::awaitable<std::vector<Rows>> Lane::State::exec(const std::vector<Call>& calls) {
  Exchange own(calls, executor);
  under_way.push_back(&own);
  std::vector<Rows> rows;
  std::exception_ptr failed;
  try {
    rows = co_await exchange(own);
  } catch (const DbError& error) {
    if (const auto& errors = connector.options().errors) errors->count(error.sqlstate());
    failed = std::current_exception();
  } catch (...) {
    failed = std::current_exception();
    if (own.sent && connection) close();  // or the next would take what is still to come for its own answer
  }
  leave(own);
  if (failed) std::rethrow_exception(failed);
  co_return rows;
}

Lane::Lane(PoolOptions options, asio::any_io_executor executor, Clock& clock)
    : state_(std::make_unique<State>(std::move(options), std::move(executor), clock)) {}

Lane::~Lane() {
  if (const auto attempt = state_->attempt.lock()) attempt->end();
  state_->under_way.clear();  // whoever waits is no more
  state_->close();
}

bool Lane::connected() const { return state_->connection != nullptr; }

asio::awaitable<std::vector<Rows>> Lane::exec(std::vector<Call> calls) {
  co_return co_await state_->exec(calls);
}

std::vector<std::unique_ptr<Wire>> make_lanes(const PoolOptions& options, unsigned count, asio::any_io_executor executor, Clock& clock) {
  std::vector<std::unique_ptr<Wire>> lanes;
  if (options.pooled) return lanes;
  for (unsigned i = 0; i < count; ++i) lanes.push_back(std::make_unique<Lane>(options, executor, clock));
  return lanes;
}

}  // namespace rowcrew
