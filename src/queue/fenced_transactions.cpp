#include "queue/fenced_transactions.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <rowcrew/error.hpp>
#include <rowcrew/fault.hpp>

#include "base/event.hpp"
#include "queue/ended_report.hpp"
#include "queue/limited_tx.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace asio = boost::asio;
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
template <class T>
using Awaitable = JobTransactions::Awaitable<T>;

/// Transactions as short as this are over sooner than the event thread could send the next one: as many more
/// wait at a database thread, or on the way over a wire.
constexpr std::chrono::milliseconds kShort = 20ms;

/// Leaves the closure of a transaction whose only job is no longer ours.
struct ClaimGone {};

/// A port's refusal on its way out of the database thread.
struct PortRefused {
  DbError error;
  std::size_t job;
};

/// `id`: a uuid, `args`: jsonb, as SQL.
std::string call_of(const SqlFunction& function, std::string_view id, std::string_view args) {
  const std::string name = quote_qualified(function.schema, function.name);
  const std::string call = function.takes_id ? fmt::format("{}({}, {})", name, id, args) : fmt::format("{}({})", name, args);
  return function.returns_result ? call + "::text" : call;
}

std::vector<std::string> ids_of(const Rows& rows) {
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < rows.size(); ++i) ids.emplace_back(rows.text(i, 0));
  return ids;
}

}  // namespace

/// The statements of one job table. Texts live as long as this.
struct FencedTransactions::Table {
  explicit Table(TableMap of) : map(std::move(of)), common({}, "") { describe_statements(common, with("", {"NULL", "NULL", "NULL", "NULL"})); }

  struct Call {
    std::string many, one, args;
    std::string after;  ///< of one
  };
  TableMap with(const std::string& suffix, const Call& call) const {
    TableMap filled = map;
    filled.name += suffix;
    filled.values["call"] = call.many;
    filled.values["call_one"] = call.one;
    filled.values["args"] = call.args;
    filled.values["after_call"] = call.after;
    return filled;
  }
  StatementSet& calling(const SqlFunction& function) {
    const std::string call = call_of(function, map.adopted ? "g.job" : "g.id", "g.args");
    auto& set = calls[call];
    if (!set) {
      const std::string args = "coalesce(" + map.values.at("payload") + " -> 'args', '{}')";
      set = std::make_unique<StatementSet>(std::map<std::string, std::string, std::less<>>{}, std::string());
      // Without a result nothing of ours is planned behind the call in its transaction, whose end undoes the settings.
      const std::string after = function.returns_result ? "rowcrew.plan_by_index()" : "NULL";
      describe_statements(*set, with(":" + call, {call, map.adopted ? call : call_of(function, "q.id", args), args, after}));
    }
    return *set;
  }

  TableMap map;
  StatementSet common;
  std::map<std::string, std::unique_ptr<StatementSet>> calls;
};

/// What one transaction is about: copied to the database thread.
struct FencedTransactions::Plan {
  Ids ids;  ///< sorted
  std::vector<std::int64_t> tokens;
  std::vector<JobContext*> jobs;  ///< in the order of ids; for the event thread
  std::vector<EndedJob> ended;    ///< what ports are told; empty when none hears of any
  std::vector<std::optional<Statement>> ports;
  Mono until;
  Statement end;
  Statement keep;
  Statement verify;
  bool returns_result = false;

  bool one_statement() const { return !returns_result && ports.empty(); }
  Params keys() const {
    Params params;
    params.add_array(ids).add_array(tokens);
    return params;
  }
  const Statement& end_of(StatementSet& set) const { return set.render(ids.size() == 1 ? sql::tx_end_one : sql::tx_end); }
  /// What that takes.
  Params end_keys() const { return ids.size() == 1 ? Params{}.add(ids[0]).add(tokens[0]) : keys(); }
  /// `results` in the order of `written`.
  void keep_results(Tx& tx, const Ids& written, const Ids& results) const {
    Ids kept;
    Ids texts;
    std::vector<std::int64_t> kept_tokens;
    for (std::size_t i = 0; i < written.size(); ++i) {
      if (results[i].empty()) continue;
      kept.push_back(written[i]);
      kept_tokens.push_back(tokens[index_of(written[i])]);
      texts.push_back(results[i]);
    }
    if (kept.empty()) return;
    tx.exec(keep, Params{}.add_array(kept).add_array(kept_tokens).add_array(texts));
  }
  /// `known_as`: by what ports know those that were `written`.
  void tell_ports(Tx& tx, const Ids& written, const Ids& known_as, const Ids& results, const Clock& clock) const {
    if (ports.empty()) return;
    for (std::size_t i = 0; i < written.size(); ++i) {
      const std::size_t at = index_of(written[i]);
      if (!ports[at]) continue;
      EndedJob told = ended[at];
      told.ending.result = results[i];
      told.duration_ms = std::chrono::duration_cast<milliseconds>(clock.mono() - jobs[at]->started()).count();
      try {
        tx.exec(*ports[at], Params{}.add(known_as[i]).add(ended_report(told)));
      } catch (const DbError& error) {
        if (error.connection_lost() || error.error_class() == ErrorClass::transient) throw;
        throw PortRefused{error, at};
      }
    }
  }
  std::size_t index_of(const std::string& id) const {
    return static_cast<std::size_t>(std::lower_bound(ids.begin(), ids.end(), id) - ids.begin());
  }
};

FencedTransactions::FencedTransactions(Db& db, PortCatalog& ports, Clock& clock, const std::vector<std::string>& tables,
                                       const PoolOptions& connections, std::vector<std::unique_ptr<Wire>> wires)
    : db_(db), ports_(ports), clock_(clock), statement_timeout_(connections.statement_timeout),
      threads_(connections.threads), turns_(connections.threads), wires_(std::move(wires)) {
  for (const std::string& name : tables) describe(table_map(name));
}

FencedTransactions::~FencedTransactions() = default;

void FencedTransactions::describe(TableMap map) {
  std::unique_ptr<Table>& table = tables_[map.name];
  if (table) earlier_.push_back(std::move(table));
  table = std::make_unique<Table>(std::move(map));
}

/// However it ends.
Awaitable<FencedTransactions::Ids> FencedTransactions::timed(Awaitable<Ids> work) {
  const Mono began = clock_.mono();
  Ids ids;
  std::exception_ptr failed;
  try {
    ids = co_await std::move(work);
  } catch (...) {
    failed = std::current_exception();
  }
  const auto span = clock_.mono() - began;
  // A long one counts at once: what waits behind it is given up after a while, or was sent.
  took_ = span > took_ ? span : took_ + (span - took_) / 8;
  turns_.at_once(took_ < kShort ? 2 * threads_ : threads_);
  wires_.each(took_ < kShort ? 2 : 1);
  if (failed) std::rethrow_exception(failed);
  co_return ids;
}

FencedTransactions::Table& FencedTransactions::table_of(const Job& job) {
  const auto found = tables_.find(job.table);
  if (found == tables_.end()) {
    throw BugError("job_table", fmt::format("transaction: job table \"{}\", expected one that this node serves", job.table));
  }
  return *found->second;
}

FencedTransactions::Plan FencedTransactions::plan_for(Table& table, std::vector<JobContext*> jobs, Mono until) const {
  std::sort(jobs.begin(), jobs.end(), [](const JobContext* a, const JobContext* b) { return a->job().id < b->job().id; });
  Plan plan;
  plan.jobs = std::move(jobs);
  plan.until = until;
  plan.keep = table.common.render(sql::tx_keep_results);
  plan.verify = table.common.render(sql::tx_ended);
  bool ported = false;
  for (const JobContext* context : plan.jobs) {
    const Job& job = context->job();
    plan.ids.push_back(job.id);
    plan.tokens.push_back(job.claim_token);
    plan.until = std::min({plan.until, context->deadline(), context->lease_until()});
    plan.ports.push_back(ports_.ended()->find(job.job_type, job.app));
    ported = ported || plan.ports.back().has_value();
  }
  if (!ported) {
    plan.ports.clear();
    return plan;
  }
  for (const JobContext* context : plan.jobs) {
    EndedJob ended;
    ended.job = context->job();
    ended.job.payload.clear();
    ended.ending.status = "completed";
    plan.ended.push_back(std::move(ended));
  }
  return plan;
}

Awaitable<Settled> FencedTransactions::complete_with(JobContext& context, std::function<std::string(Tx&)> work) {
  Table& table = table_of(context.job());
  const Turns::Turn turn = co_await turns_.take();
  Plan plan = plan_for(table, {&context}, Mono::max());
  plan.end = plan.end_of(table.common);
  auto all = transaction(plan, std::move(work));
  const Ids written = co_await timed(std::move(all));
  ROWCREW_FAULT_POINT("tx.committed");
  co_return settled(!written.empty());
}

Awaitable<std::vector<Settled>> FencedTransactions::call(SqlFunction function, std::vector<JobContext*> jobs, milliseconds within) {
  Table& table = table_of(jobs.at(0)->job());
  Plan plan = plan_for(table, jobs, clock_.mono() + within);
  plan.end = plan.end_of(table.calling(function));
  plan.returns_result = function.returns_result;
  std::optional<Ids> sent;
  if (plan.one_statement() && !wires_.none()) sent = co_await over_wire(plan);
  if (!sent) sent = co_await over_thread(plan);
  Ids& written = *sent;
  ROWCREW_FAULT_POINT("tx.committed");
  std::sort(written.begin(), written.end());
  std::vector<Settled> each;
  for (const JobContext* context : jobs) {
    each.push_back(settled(std::binary_search(written.begin(), written.end(), context->job().id)));
  }
  co_return each;
}

/// Nullopt: the database could not be reached, or there was too little time left for a connection's own
/// statement_timeout. Where one goes behind another its timeout begins with the other's end: should the lease
/// be over by then, the fence is what it meets.
Awaitable<std::optional<FencedTransactions::Ids>> FencedTransactions::over_wire(const Plan& plan) {
  std::optional<DbError> unknown;
  try {
    const SharedWires::Taken wire = co_await wires_.take();
    if (plan.until - clock_.mono() < statement_timeout_) co_return std::nullopt;
    auto all = exec_over(*wire, plan);
    co_return co_await timed(std::move(all));
  } catch (const DbError& error) {
    if (error.connection_lost() && !error.outcome_unknown()) co_return std::nullopt;
    if (!error.outcome_unknown()) throw;
    unknown = error;
  }
  co_await asio::this_coro::throw_if_cancelled(false);
  co_return co_await which_ended(plan, *unknown);
}

Awaitable<FencedTransactions::Ids> FencedTransactions::exec_over(Wire& wire, const Plan& plan) {
  ROWCREW_FAULT_POINT("tx.sending");
  std::vector<Call> calls;
  calls.emplace_back(plan.end, plan.end_keys());
  // A coroutine of its own, which nobody cancels: who asks this job to stop must not break off what commits.
  const auto executor = co_await asio::this_coro::executor;
  auto exec = wire.exec(std::move(calls));
  auto token = asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable);
  const std::vector<Rows> answers = co_await asio::co_spawn(executor, std::move(exec), std::move(token));
  co_return ids_of(answers.at(0));
}

Awaitable<FencedTransactions::Ids> FencedTransactions::over_thread(const Plan& plan) {
  const Turns::Turn turn = co_await turns_.take();
  // The connection's own statement_timeout must do, or there has to be a transaction to set one in.
  const bool one = plan.one_statement() && plan.until - clock_.mono() >= statement_timeout_;
  auto all = one ? one_statement(plan) : transaction(plan, nullptr);
  co_return co_await timed(std::move(all));
}

/// What no thread took in time has done nothing, and nobody is to blame: more were sent than there are
/// threads, while they were short. It waits again.
template <class F>
auto FencedTransactions::run(TxMode mode, F work, Mono until) -> Awaitable<std::invoke_result_t<F&, Tx&>> {
  for (;;) {
    F once = work;
    try {
      co_return co_await db_.run(mode, std::move(once));
    } catch (const TransientError& error) {
      if (error.code() != "db_timeout" || clock_.mono() >= until) throw;
    }
  }
}

Awaitable<FencedTransactions::Ids> FencedTransactions::one_statement(const Plan& plan) {
  auto work = [end = plan.end, keys = plan.end_keys(), until = plan.until, limit = statement_timeout_, &clock = clock_](Tx& tx) {
    std::optional<Ids> written;
    if (until - clock.mono() < limit) return written;  // it waited too long for its thread
    ROWCREW_FAULT_POINT("tx.sending");
    written = ids_of(tx.exec(end, keys));
    return written;
  };
  std::optional<DbError> unknown;
  std::optional<Ids> written;
  try {
    written = co_await run(TxMode::autocommit, std::move(work), plan.until);
  } catch (const DbError& error) {
    if (!error.outcome_unknown()) throw;
    unknown = error;
  }
  if (unknown) {
    co_await asio::this_coro::throw_if_cancelled(false);
    co_return co_await which_ended(plan, *unknown);
  }
  if (written) co_return std::move(*written);
  co_return co_await transaction(plan, nullptr);
}

Awaitable<FencedTransactions::Ids> FencedTransactions::transaction(const Plan& plan, std::function<std::string(Tx&)> work) {
  auto closure = [plan = &plan, work = std::move(work), ceiling = statement_timeout_, &clock = clock_](Tx& tx) {
    LimitedTx limited(tx, clock, plan->until, ceiling);
    ROWCREW_FAULT_POINT("tx.sending");
    const Rows rows = limited.exec(plan->end, plan->end_keys());
    if (rows.empty()) throw ClaimGone{};
    Ids written;
    Ids known_as;
    Ids results;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      written.emplace_back(rows.text(i, 0));
      known_as.emplace_back(rows.text(i, rows.columns() > 5 ? 5 : 0));
      results.emplace_back(plan->returns_result ? rows.text(i, 2) : std::string_view());
    }
    ROWCREW_FAULT_POINT("tx.fenced");
    if (work) results.at(0) = work(limited);
    plan->keep_results(limited, written, results);
    plan->tell_ports(limited, written, known_as, results, clock);
    limited.check();
    ROWCREW_FAULT_POINT("tx.worked");
    return written;
  };
  std::optional<DbError> unknown;
  std::optional<PortRefused> refused;
  try {
    co_return co_await run(TxMode::transaction, std::move(closure), plan.until);
  } catch (const ClaimGone&) {
    co_return Ids{};
  } catch (const PortRefused& port) {
    refused = port;
  } catch (const DbError& error) {
    if (!error.outcome_unknown()) throw;
    unknown = error;
  }
  if (unknown) {
    co_await asio::this_coro::throw_if_cancelled(false);
    co_return co_await which_ended(plan, *unknown);
  }
  plan.jobs[refused->job]->log().error(event::kPortFailed, {{"code", refused->error.code()}}, refused->error.what());
  if (refused->error.error_class() == ErrorClass::bug) throw BugError(kPortFailed, refused->error.what());
  throw PermanentError(kPortFailed, refused->error.what());
}

/// The commit may have happened, and whoever asks for this job to stop must not keep us from learning: callers turn
/// throw_if_cancelled off, since of a coroutine that was cancelled before the very await of this one would throw.
Awaitable<FencedTransactions::Ids> FencedTransactions::which_ended(const Plan& plan, DbError unknown) {
  std::exception_ptr failed;
  Ids ended;
  try {
    ended = co_await ask_which_ended(plan, unknown);
  } catch (...) {
    failed = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(true);
  if (failed) std::rethrow_exception(failed);
  co_return ended;
}

/// Asks until the database has answered or the lease is over: then it is for others to find out, and the
/// fence keeps every later write of ours away. A transaction that never reached the server might still get
/// there; the execution that we make of this error meets the same fence, so that one of the two is refused.
Awaitable<FencedTransactions::Ids> FencedTransactions::ask_which_ended(const Plan& plan, const DbError& unknown) {
  const DbError undone(unknown.error_class(), unknown.sqlstate(), unknown.what(), unknown.connection_lost(), false);
  milliseconds pause = 20ms;
  for (;;) {
    std::optional<Rows> rows;
    try {
      rows = co_await db_.query(plan.verify, plan.keys());
    } catch (const Error& error) {
      if (error.error_class() != ErrorClass::transient) throw;
    }
    if (rows) {
      Ids ended;
      for (std::size_t i = 0; i < rows->size(); ++i) {
        if (rows->text(i, 1) == "completed") ended.emplace_back(rows->text(i, 0));
      }
      if (ended.empty() && !rows->empty()) throw undone;
      co_return ended;
    }
    if (clock_.mono() >= plan.jobs.front()->lease_until()) throw unknown;
    co_await clock_.sleep_until(clock_.mono() + pause);
    pause = std::min<milliseconds>(pause * 2, 500ms);
  }
}

}  // namespace rowcrew
