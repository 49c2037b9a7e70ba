#include "pg/lane.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <deque>
#include <optional>
#include <unordered_set>

#include "pg/connect_attempt.hpp"
#include "pg/driver_error.hpp"
#include "pg/driver_text.hpp"
#include "pg/pipeline_answer.hpp"
#include "pg/session.hpp"
#include "pg/sqlstate.hpp"

namespace rowcrew {
namespace {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

/// How much later than its statement_timeout a server may answer.
constexpr std::chrono::seconds kAnswerGrace{2};

using Values = std::vector<const char*>;

Values pointers(const Call& call) {
  Values out;
  out.reserve(call.params.values().size());
  for (const auto& value : call.params.values()) {
    // libpq would silently cut the text here; the server would refuse it.
    if (value && value->find('\0') != std::string::npos) {
      throw server_error("22021", fmt::format("{}: parameter ${} holds a NUL byte (22021)", call.statement.name,
                                              out.size() + 1));
    }
    out.push_back(value ? value->c_str() : nullptr);
  }
  return out;
}

}  // namespace

struct Lane::State {
  State(PoolOptions options, asio::any_io_executor ex, Clock& the_clock)
      : connector(std::move(options)), settings(settings_batch(connector.options())), executor(std::move(ex)),
        clock(the_clock), overdue(executor) {}

  asio::awaitable<void> open();
  asio::awaitable<std::vector<Rows>> exchange(const std::vector<Call>& calls);
  void send(const std::vector<Call>& calls, PipelineAnswer& answer);
  asio::awaitable<void> flush();
  asio::awaitable<void> receive(PipelineAnswer& answer);
  asio::awaitable<void> wait_readable();
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
  asio::steady_timer overdue;
  bool late = false;
  std::weak_ptr<ConnectAttempt> attempt;
};

void Lane::State::close() {
  overdue.cancel();
  if (socket) socket->release();  // libpq closes its own descriptor
  socket.reset();
  connection.reset();
  prepared.clear();
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

/// One timer for the whole exchange; cancelling the socket's waits is how it makes itself heard.
void Lane::State::watch_time() {
  late = false;
  overdue.expires_after(connector.options().statement_timeout + kAnswerGrace);
  overdue.async_wait([this](boost::system::error_code ec) {
    if (ec || !socket || overdue.expiry() > std::chrono::steady_clock::now()) return;
    late = true;
    socket->cancel();
  });
}

void Lane::State::send(const std::vector<Call>& calls, PipelineAnswer& answer) {
  PGconn* pg = connection.get();
  std::vector<Values> all;  // refused before anything is sent
  for (const Call& call : calls) all.push_back(pointers(call));
  std::unordered_set<std::string> coming;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Call& call = calls[i];
    const Values& values = all[i];
    const std::string name = prepared_name(call.statement.name);
    if (!prepared.contains(name) && coming.insert(name).second) {
      answer.expect_prepare(call.statement.name, name);
      if (PQsendPrepare(pg, name.c_str(), std::string(call.statement.text).c_str(), 0, nullptr) == 0) lost(false);
    }
    answer.expect_rows(call.statement.name);
    if (PQsendQueryPrepared(pg, name.c_str(), static_cast<int>(values.size()), values.data(), nullptr, nullptr, 0) == 0) {
      lost(false);
    }
  }
  if (PQpipelineSync(pg) == 0) lost(false);
}

asio::awaitable<void> Lane::State::wait_readable() {
  const auto [ec] = co_await socket->async_wait(stream_descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
  if (late) lost(true);
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
  }
}

asio::awaitable<void> Lane::State::receive(PipelineAnswer& answer) {
  PGconn* pg = connection.get();
  while (!answer.complete()) {
    if (PQisBusy(pg) != 0) {
      co_await wait_readable();
      if (PQconsumeInput(pg) == 0) lost(true);
      continue;
    }
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(pg), &PQclear);
    if (result) answer.take(result.get());
    if (PQstatus(pg) != CONNECTION_OK) lost(true);
  }
}

asio::awaitable<std::vector<Rows>> Lane::State::exchange(const std::vector<Call>& calls) {
  co_await open();
  PipelineAnswer answer;
  send(calls, answer);
  watch_time();
  co_await flush();
  co_await receive(answer);
  overdue.cancel();
  for (const std::string& name : answer.prepared()) prepared.insert(name);
  if (const auto& error = answer.error()) {
    const DbError thrown = lost_if_read_only(*error, connection.get());
    if (spoils_session(thrown.sqlstate())) close();
    throw DbError(thrown);
  }
  co_return answer.rows();
}

Lane::Lane(PoolOptions options, asio::any_io_executor executor, Clock& clock)
    : state_(std::make_unique<State>(std::move(options), std::move(executor), clock)) {}

Lane::~Lane() {
  if (const auto attempt = state_->attempt.lock()) attempt->end();
  state_->close();
}

bool Lane::connected() const { return state_->connection != nullptr; }

asio::awaitable<std::vector<Rows>> Lane::exec(std::vector<Call> calls) {
  co_return co_await state_->exchange(calls);
}

}  // namespace rowcrew
