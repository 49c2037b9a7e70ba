#include "pg/connection.hpp"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <algorithm>
#include <future>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <rowcrew/db_error.hpp>

#include "pg/connect_params.hpp"
#include "pg/server_error.hpp"
#include "pg/server_text.hpp"
#include "pg/same_database.hpp"
#include "sql_pg.hpp"

namespace rowcrew {
namespace {

using std::chrono::milliseconds;

struct ResultClearer {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ResultClearer>;

[[noreturn]] void throw_lost(const std::string& message) {
  throw DbError(ErrorClass::transient, "", "database: " + message, true, false);
}

/// Nothing was asked yet: whoever wanted to ask is not to blame.
[[noreturn]] void throw_unreachable(const std::string& message) {
  throw DbError(ErrorClass::transient, "08001", "database: " + message, true, false);
}

/// `nameless`: what became of hosts that were not asked.
[[noreturn]] void throw_refused(const PGconn* connection, const std::string& nameless) {
  const ServerRefusal refusal = read_refusal(PQerrorMessage(connection));
  if (!refusal.turned_away) throw_unreachable(refusal.text + nameless);
  const std::string state(refusal.crowded ? kTooManyConnections : "08001");
  throw LoginRefused(ErrorClass::transient, state, "database: " + refusal.text + nameless, true, false);
}

[[noreturn]] void throw_stopped() {
  throw TransientError("db_stopped", "database: stopped while connecting");
}

SteadyTime deadline_in(milliseconds span) {
  return std::chrono::steady_clock::now() + span;
}

Connection start(const ConnectParams& params) {
  std::vector<const char*> keywords, values;
  for (const auto& [keyword, value] : params) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  Connection connection(PQconnectStartParams(keywords.data(), values.data(), 0));
  if (!connection) throw std::bad_alloc();
  // libpq prints notices to stderr otherwise.
  PQsetNoticeProcessor(
      connection.get(), [](void*, const char*) {}, nullptr);
  PQsetErrorVerbosity(connection.get(), PQERRORS_VERBOSE);  // the code of a refusal is told no other way
  return connection;
}

/// False: no answer in time. Throws when every host refused.
bool complete(PGconn* connection, SteadyTime deadline, const Interrupt* interrupt, const std::string& nameless) {
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  for (;;) {
    if (PQstatus(connection) == CONNECTION_BAD || next == PGRES_POLLING_FAILED) {
      throw_refused(connection, nameless);
    }
    if (next == PGRES_POLLING_OK) return true;
    const short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    switch (wait_socket(PQsocket(connection), events, deadline, interrupt)) {
      case SocketWait::interrupted:
        throw_stopped();
      case SocketWait::timeout:
        return false;
      case SocketWait::ready:
        next = PQconnectPoll(connection);
    }
  }
}

/// Where no name server answers, the system's resolver takes half a minute and more, and nothing breaks it off:
/// a thread asks it, and is left behind with what it holds when nobody waits for the answer any more.
HostAddresses look_up_aside(const HostLookUp& look_up, const std::string& host, const Interrupt* interrupt) {
  if (interrupt == nullptr) return look_up(host);
  std::shared_ptr<Interrupt> answered;
  std::future<HostAddresses> answer;
  try {
    answered = std::make_shared<Interrupt>();
    std::packaged_task<HostAddresses()> question([look_up, host] { return look_up(host); });
    answer = question.get_future();
    std::thread([question = std::move(question), answered]() mutable {
      question();
      answered->trigger();
    }).detach();
  } catch (const std::system_error&) {  // no thread to be had, or no descriptor
    return look_up(host);
  }
  if (wait_socket(answered->descriptor(), POLLIN, SteadyTime::max(), interrupt) == SocketWait::interrupted) throw_stopped();
  return answer.get();
}

/// Waits until the connection has something to read, or takes more to write if it has to.
void await_answer(PGconn* connection, SteadyTime deadline, const Interrupt* interrupt) {
  const int unsent = PQflush(connection);
  if (unsent < 0) throw_lost(last_error(connection));
  const short events = unsent > 0 ? POLLIN | POLLOUT : POLLIN;
  switch (wait_socket(PQsocket(connection), events, deadline, interrupt)) {
    case SocketWait::interrupted:
      throw_stopped();
    case SocketWait::timeout:
      throw_lost("no answer to the first statement in time");
    case SocketWait::ready:
      break;
  }
  if (PQconsumeInput(connection) == 0) throw_lost(last_error(connection));
}

bool failed(const Result& result) { return result && PQresultStatus(result.get()) == PGRES_FATAL_ERROR; }

/// The first error, or else the last result.
Result ask(PGconn* connection, const std::string& sql, milliseconds within, const Interrupt* interrupt) {
  const SteadyTime deadline = deadline_in(within);
  if (PQsendQuery(connection, sql.c_str()) == 0) throw_lost(last_error(connection));
  Result kept;
  for (;;) {
    while (PQisBusy(connection)) await_answer(connection, deadline, interrupt);
    Result result(PQgetResult(connection));
    if (!result) break;
    if (!failed(kept)) kept = std::move(result);
  }
  if (PQstatus(connection) != CONNECTION_OK) throw_lost(last_error(connection));
  return kept;
}

DbError error_of(const Result& result) {
  const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
  return server_error(state ? state : "", "database: " + one_line(PQresultErrorMessage(result.get())));
}

}  // namespace

bool holds_input(PGconn* connection) {
  // libpq knows, and tells only itself. A record is up to 16 KiB, its buffer may have room for 8.
  const auto* tls = static_cast<const SSL*>(PQsslStruct(connection, "OpenSSL"));
  return tls != nullptr && SSL_pending(tls) > 0;
}

std::string last_error(const PGconn* connection) {
  return one_line(PQerrorMessage(connection));
}

bool server_writes(const PGconn* connection) {
  const auto off = [connection](const char* setting) {
    const char* value = PQparameterStatus(connection, setting);
    return value != nullptr && std::string_view(value) == "off";
  };
  return off("in_hot_standby") && off("default_transaction_read_only");
}

Connection Connector::connect(const Interrupt* interrupt) {
  // libpq tries the hosts in order, but leaves time-outs of its asynchronous interface to the
  // caller, and goes no further than a host that refuses the login: after either, the next attempt
  // begins with another host.
  ConnectParams params = connect_params(options_, interrupt);
  std::string nameless = expand_hosts(params, [&](const std::string& host) { return look_up_aside(look_up_, host, interrupt); });
  if (!nameless.empty()) nameless.insert(0, "; ");
  const std::size_t hosts = host_count(params);
  const milliseconds per_host = connect_timeout(params, options_);
  begin_with_host(params, first_);
  for (std::size_t silent = 0; silent < hosts; ++silent) {
    Connection connection = start(params);
    const std::string tried = first_host(params);
    rotate_hosts(params, 1);
    first_ = first_host(params);  // unless it answers
    if (complete(connection.get(), deadline_in(per_host), interrupt, nameless)) {
      first_ = tried;
      PQsetErrorVerbosity(connection.get(), PQERRORS_DEFAULT);
      return connection;
    }
  }
  throw_unreachable(fmt::format("no answer within {} ms{}", per_host.count() * static_cast<int>(hosts), nameless));
}

void run_batch(PGconn* connection, const std::string& sql, milliseconds within,
               const Interrupt* interrupt) {
  const Result result = ask(connection, sql, within, interrupt);
  if (failed(result)) throw error_of(result);
}

namespace {

void check_answer(const Result& result, SameDatabase& same) {
  std::optional<std::string> told;
  if (failed(result)) {  // it has no such function, or none for us
    if (const DbError error = error_of(result); error.error_class() == ErrorClass::transient) throw DbError(error);
  } else if (PQntuples(result.get()) == 1) {
    told = PQgetvalue(result.get(), 0, 0);
  }
  if (same.is(std::move(told))) return;
  throw_unreachable("another one than this program began with, as if it had been restored from a copy: restart the program to work on it");
}

}  // namespace

void check_database(PGconn* connection, const PoolOptions& options, const Interrupt* interrupt) {
  if (!options.same_database) return;
  const Result result = ask(connection, std::string(sql_pg::which_database.text),
                            std::max(options.connect_timeout, options.statement_timeout), interrupt);
  check_answer(result, *options.same_database);
}

void begin_session(PGconn* connection, const std::string& batch, const PoolOptions& options, const Interrupt* interrupt) {
  if (options.same_database && options.same_database->known()) {
    const std::string both = batch + "\n;\n" + std::string(sql_pg::which_database.text);
    const Result result = ask(connection, both, options.connect_timeout, interrupt);
    if (!failed(result)) return check_answer(result, *options.same_database);
  }
  run_batch(connection, batch, options.connect_timeout, interrupt);
  check_database(connection, options, interrupt);
}

}  // namespace rowcrew
