#include "pg/listener_link.hpp"

#include <fcntl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <system_error>

#include "sql_pg.hpp"

namespace rowcrew {
namespace {

namespace asio = boost::asio;

/// Asio closes what it owns, and libpq closes its own: each gets a descriptor.
int duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw std::system_error(errno, std::generic_category(), "dup");
  return copy;
}

/// Ends without an exception when cancelled, so that a race of two has one kind of end.
asio::awaitable<void> quiet_sleep(Clock& clock, Mono when) {
  try {
    co_await clock.sleep_until(when);
  } catch (const boost::system::system_error&) {
  }
}

asio::awaitable<void> quiet_wait(asio::posix::stream_descriptor& socket) {
  co_await socket.async_wait(asio::posix::stream_descriptor::wait_read,
                             asio::as_tuple(asio::use_awaitable));
}

}  // namespace

ListenerLink::ListenerLink(Connection connection, asio::any_io_executor executor, Clock& clock)
    : connection_(std::move(connection)),
      socket_(std::move(executor), duplicate(PQsocket(connection_.get()))),
      clock_(clock) {
  PQsetnonblocking(connection_.get(), 1);
}

asio::awaitable<std::string> ListenerLink::watch(const Listener::OnNotify& on_notify,
                                                 std::chrono::milliseconds self_test,
                                                 std::chrono::milliseconds patience) {
  for (;;) {
    if (!drain(on_notify)) break;
    if (!doubted_) {
      const bool spoke = co_await readable_until(clock_.mono() + self_test);
      if (spoke && !doubted_) continue;
    }
    doubted_ = false;
    const bool alive = co_await ask(on_notify, clock_.mono() + patience);
    if (!alive) break;
    // Whoever writes notifies elsewhere.
    if (!server_writes(connection_.get())) co_return "the server has become read-only";
  }
  std::string reason = last_error(connection_.get());
  co_return reason.empty() ? "no answer to the self-test" : reason;
}

void ListenerLink::probe() {
  doubted_ = true;
  socket_.cancel();
}

bool ListenerLink::drain(const Listener::OnNotify& on_notify) {
  do {
    if (PQconsumeInput(connection_.get()) == 0) return false;
  } while (holds_input(connection_.get()));
  for (;;) {
    const std::unique_ptr<PGnotify, decltype(&PQfreemem)> notify(PQnotifies(connection_.get()),
                                                                 &PQfreemem);
    if (!notify) break;
    on_notify(notify->relname, notify->extra);
  }
  return PQstatus(connection_.get()) == CONNECTION_OK;
}

asio::awaitable<bool> ListenerLink::ask(const Listener::OnNotify& on_notify, Mono deadline) {
  PGconn* connection = connection_.get();
  const std::string question(sql_pg::self_test.text);
  if (PQsendQuery(connection, question.c_str()) == 0) co_return false;
  for (;;) {
    if (PQflush(connection) < 0) co_return false;
    if (PQisBusy(connection) == 0) {
      PGresult* result = PQgetResult(connection);
      if (result == nullptr) co_return PQstatus(connection) == CONNECTION_OK;
      PQclear(result);
      continue;
    }
    const bool readable = co_await readable_until(deadline);
    if (!readable) co_return false;
    if (!drain(on_notify)) co_return false;
  }
}

asio::awaitable<bool> ListenerLink::readable_until(Mono deadline) {
  using namespace asio::experimental::awaitable_operators;
  auto readable = quiet_wait(socket_);
  auto late = quiet_sleep(clock_, deadline);
  auto first = std::move(readable) || std::move(late);
  const auto winner = co_await std::move(first);
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  co_return winner.index() == 0;
}

}  // namespace rowcrew
