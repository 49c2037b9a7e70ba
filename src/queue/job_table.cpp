#include "queue/job_table.hpp"

#include <algorithm>

#include <rowcrew/fault.hpp>
#include "queue/ended_report.hpp"
#include "queue/job_rows.hpp"
#include "sql_queries.hpp"

namespace rowcrew {

namespace {

void add_chosen(Params& params, const std::optional<Ids>& only) {
  if (only) {
    params.add_array(*only);
  } else {
    params.add(std::nullopt);
  }
}

/// Of the rows of a finish, id and status first.
void add_cancelled(const Rows& rows, Ids& cancelled) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.text(i, 1) == "cancelled") cancelled.emplace_back(rows.text(i, 0));
  }
}

}  // namespace

JobTable::JobTable(Db& db, TableMap map) : db_(db), name_(map.name), adopted_(map.adopted), statements_({}, "") { describe(std::move(map)); }

void JobTable::describe(TableMap map) { describe_statements(statements_, std::move(map)); }

JobTable::Awaitable<std::vector<ClaimedJob>> JobTable::run_claim(const Statement& statement, Params params, std::int64_t token, TakenHints* taken) {
  auto work = [statement, params = std::move(params), token, table = name_](Tx& tx) {
    return read_claimed(tx.exec(statement, params), token, table);
  };
  Claimed claimed = co_await db_.run(TxMode::autocommit, std::move(work));
  if (taken != nullptr) *taken = std::move(claimed.taken);
  co_return std::move(claimed.jobs);
}

JobTable::Awaitable<Ids> JobTable::run_ids(const Statement& statement, Params params) {
  auto work = [statement, params = std::move(params)](Tx& tx) { return first_column(tx.exec(statement, params)); };
  co_return co_await db_.run(TxMode::autocommit, std::move(work));
}

JobTable::Awaitable<std::vector<ClaimedJob>> JobTable::claim(std::int64_t token, NodeIdentity node, std::vector<ClaimWant> wants, TakenHints* taken) {
  return run_claim(statements_.render(sql::claim), claim_params(token, node, wants, true), token, taken);
}

JobTable::Awaitable<std::vector<ClaimedJob>> JobTable::claim_unlocked(std::int64_t token, NodeIdentity node, std::vector<ClaimWant> wants, TakenHints* taken) {
  return run_claim(statements_.render(sql::claim_unlocked), claim_params(token, node, wants, false).add(std::nullopt), token, taken);
}

JobTable::Awaitable<std::vector<ClaimedJob>> JobTable::claim_listed(std::int64_t token, NodeIdentity node, std::vector<ClaimWant> wants, Ids ids) {
  return run_claim(statements_.render(sql::claim_unlocked), claim_params(token, node, wants, false).add_array(ids), token);
}

JobTable::Awaitable<Ids> JobTable::first_hints(std::string queue, std::size_t most) {
  return run_ids(statements_.render(sql::first_hints), Params{}.add(queue).add(most));
}

JobTable::Awaitable<Ids> JobTable::first_survivors(Ids queues, std::string_view reason, std::size_t most) {
  return run_ids(statements_.render(sql::first_survivors), Params{}.add_array(queues).add(reason).add(most));
}

JobTable::Awaitable<void> JobTable::park_unclaimable(std::string id, Ids queues, std::chrono::milliseconds delay, std::string message) {
  Params params;
  params.add(id).add_array(queues).add(delay).add(message);
  co_await db_.query(statements_.render(sql::park_unclaimable), std::move(params));
}

JobTable::Awaitable<std::vector<ClaimedJob>> JobTable::claim_suspect(std::int64_t token, NodeIdentity node, Ids queues) {
  Params params;
  params.add(token).add(node.node_id).add(node.epoch).add_array(queues);
  return run_claim(statements_.render(sql::claim_suspect), std::move(params), token);
}

JobTable::Awaitable<std::vector<ClaimedJob>> JobTable::claim_rescued(std::vector<std::int64_t> tokens, NodeIdentity node,
                                                                     std::vector<ClaimWant> wants, std::optional<Ids> only) {
  Params params;
  Ids queues;
  std::vector<std::int64_t> counts;
  for (const ClaimWant& want : wants) {
    queues.push_back(want.queue);
    counts.push_back(static_cast<std::int64_t>(want.count));
  }
  params.add_array(tokens).add(node.node_id).add(node.epoch).add_array(queues).add_array(counts);
  add_chosen(params, only);
  const Rows rows = co_await db_.query(statements_.render(sql::claim_rescued), std::move(params));
  std::vector<ClaimedJob> claimed;
  for (std::size_t i = 0; i < rows.size(); ++i) claimed.push_back(read_job(rows, i, rows.integer(i, 10), name_));
  co_return claimed;
}

JobTable::Awaitable<std::optional<std::string>> JobTable::payload(const Job& job) {
  Params params;
  params.add(job.id).add(job.claim_token);
  const Rows rows = co_await db_.query(statements_.render(sql::payload), std::move(params));
  if (rows.size() == 0) co_return std::nullopt;
  co_return rows.is_null(0, 0) ? std::string() : std::string(rows.text(0, 0));
}

JobTable::Awaitable<JobTable::Due> JobTable::has_suspect(Ids queues) {
  Params params;
  params.add_array(queues);
  const Rows rows = co_await db_.query(statements_.render(sql::has_suspect), std::move(params));
  Due due;
  due.rescued = rows.boolean(0, 0);
  due.suspect = rows.boolean(0, 1);
  if (!rows.is_null(0, 2)) due.next = std::chrono::milliseconds(rows.integer(0, 2));
  co_return due;
}

JobTable::Awaitable<Exchanged> JobTable::exchange(Wire& wire, Exchange what) {
  std::vector<Call> calls;
  if (!what.completed.empty()) {
    EndedJobs jobs(what.completed);
    jobs.sort_by_id();
    calls.emplace_back(statements_.render(sql::finish_completed), completed_params(jobs, what.completed_drop));
  }
  if (!what.ended.empty()) {
    EndedJobs jobs(what.ended);
    jobs.sort_by_id();
    calls.emplace_back(statements_.render(sql::finish_ended), ended_params(jobs, what.node.node_id, what.ended_drop));
  }
  if (what.token != 0) {
    calls.emplace_back(statements_.render(sql::claim), claim_params(what.token, what.node, what.wants, true));
  }
  if (!what.limited.empty()) {
    calls.emplace_back(statements_.render(sql::claim_limited), limited_params(what));
  } else if (!what.lowered.empty()) {
    calls.emplace_back(statements_.render(sql::lower_held), lowered_params(what.lowered, what.node.node_id));
  }
  const std::vector<Rows> answers = co_await wire.exec(std::move(calls));
  Exchanged done;
  auto rows = answers.begin();
  if (!what.completed.empty()) {
    done.completed = first_column(*rows);
    add_cancelled(*rows++, done.cancelled);
  }
  if (!what.ended.empty()) {
    done.ended = first_column(*rows);
    add_cancelled(*rows++, done.cancelled);
  }
  if (what.token != 0) {
    Claimed claimed = read_claimed(*rows++, what.token, name_);
    done.claimed = std::move(claimed.jobs);
    done.taken = std::move(claimed.taken);
  }
  if (!what.limited.empty()) read_limited(*rows, name_, done);
  co_return done;
}

namespace {

std::optional<std::string> text_of(std::optional<std::int64_t> number) {
  if (!number) return std::nullopt;
  return std::to_string(*number);
}

void call_port(Tx& tx, const Statement& port, const std::string& job_id, const std::string& report) {
  try {
    tx.exec(port, Params{}.add(job_id).add(report));
  } catch (const DbError& error) {
    if (error.connection_lost()) throw;
    throw PortError(error);
  }
}

EndedJob ended_of(const ReapedJob& reaped, const std::string& table) {
  EndedJob ended;
  ended.job.table = table;
  ended.job.id = reaped.id;
  ended.job.attempt = reaped.attempts;
  ended.job.max_attempts = reaped.max_attempts;
  ended.ending.kind = reaped.status == "cancelled" ? Ending::Kind::cancelled : Ending::Kind::failed;
  ended.ending.status = reaped.status;
  ended.ending.code = reaped.code;
  ended.ending.message = reaped.message;
  return ended;
}

}  // namespace

JobTable::Awaitable<Ids> JobTable::finish_completed(EndedJobs jobs, const std::vector<std::int64_t>& drop) {
  jobs.sort_by_id();
  return run_ids(statements_.render(sql::finish_completed), completed_params(jobs, drop));
}

JobTable::Awaitable<Ids> JobTable::finish_ended(EndedJobs jobs, std::int64_t node_id, const std::vector<std::int64_t>& drop) {
  jobs.sort_by_id();
  return run_ids(statements_.render(sql::finish_ended), ended_params(jobs, node_id, drop));
}

namespace {

struct EndedReports {
  std::string as_ended;
  std::string as_cancelled;  ///< a request to cancel may have decided otherwise
};

std::unordered_map<std::string, EndedReports> reports_of(const EndedJobs& jobs) {
  std::unordered_map<std::string, EndedReports> reports;
  for (const EndedJob* ended : jobs.all()) {
    reports.emplace(ended->job.id, EndedReports{ended_report(*ended), ended_report(as_cancelled(*ended))});
  }
  return reports;
}

}  // namespace

JobTable::Awaitable<Ids> JobTable::finish_reported(EndedJobs jobs, Statement port, std::int64_t node_id, std::vector<std::int64_t> drop,
                                                   Ids* cancelled) {
  jobs.sort_by_id();
  const bool completed = jobs.all().front()->ending.kind == Ending::Kind::completed;
  auto work = [finish = statements_.render(completed ? sql::finish_completed : sql::finish_ended),
               params = completed ? completed_params(jobs, drop) : ended_params(jobs, node_id, drop),
               port, reports = reports_of(jobs)](Tx& tx) {
    const Rows rows = tx.exec(finish, params);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const EndedReports& report = reports.at(std::string(rows.text(i, 0)));
      // The id of an adopted table's job may be no uuid; ports know it by the one made of it.
      const std::string_view known_as = rows.text(i, rows.columns() > 2 ? 2 : 0);
      call_port(tx, port, std::string(known_as), rows.text(i, 1) == "cancelled" ? report.as_cancelled : report.as_ended);
    }
    return rows;
  };
  const Rows rows = co_await db_.run(TxMode::transaction, std::move(work));
  if (cancelled != nullptr) add_cancelled(rows, *cancelled);
  co_return first_column(rows);
}

JobTable::Awaitable<Ids> JobTable::finish_verify(std::vector<EndedJob> jobs) {
  IdsAndTokens keys;
  for (const EndedJob& ended : jobs) keys.add(ended.job);
  Params params;
  params.add_array(keys.ids).add_array(keys.tokens);
  return run_ids(statements_.render(sql::finish_verify), std::move(params));
}

JobTable::Awaitable<void> JobTable::park_unserved(std::vector<Job> jobs, std::vector<std::int64_t> drop, std::chrono::milliseconds delay) {
  std::sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.id < b.id; });
  IdsAndTokens keys;
  for (const Job& job : jobs) keys.add(job);
  Params params;
  params.add_array(keys.ids).add_array(keys.tokens).add_array(drop).add(delay);
  co_await db_.query(statements_.render(sql::park_unserved), std::move(params));
}

JobTable::Awaitable<void> JobTable::lower_held(std::vector<StillRunning> rows, std::int64_t node_id) {
  co_await db_.query(statements_.render(sql::lower_held), lowered_params(rows, node_id));
}

JobTable::Awaitable<void> JobTable::drop_claims(std::vector<std::int64_t> tokens, std::int64_t node_id) {
  Params params;
  params.add_array(tokens).add(node_id);
  co_await db_.query(statements_.render(sql::drop_claims), std::move(params));
}

JobTable::Awaitable<std::vector<ClaimRow>> JobTable::own_claims(NodeIdentity node) {
  Params params;
  params.add(node.node_id).add(node.epoch);
  const Rows rows = co_await db_.query(statements_.render(sql::own_claims), std::move(params));
  std::vector<ClaimRow> claims(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    claims[i].token = rows.integer(i, 0);
    claims[i].ids = split_array(rows.text(i, 1));
  }
  co_return claims;
}

JobTable::Awaitable<std::size_t> JobTable::hand_back(std::int64_t token, std::int64_t node_id) {
  Params params;
  params.add(token).add(node_id);
  const Rows rows = co_await db_.query(statements_.render(sql::hand_back), std::move(params));
  co_return rows.size();
}

JobTable::Awaitable<std::vector<LostJob>> JobTable::lost_running(std::vector<Job> jobs) {
  IdsAndTokens keys;
  for (const Job& job : jobs) keys.add(job);
  Params params;
  params.add_array(keys.ids).add_array(keys.tokens);
  const Rows rows = co_await db_.query(statements_.render(sql::lost_running), std::move(params));
  std::vector<LostJob> lost;
  for (std::size_t i = 0; i < rows.size(); ++i) lost.push_back({std::string(rows.text(i, 0)), rows.integer(i, 1), std::string(rows.text(i, 2))});
  co_return lost;
}

JobTable::Awaitable<Ids> JobTable::dead_claims(std::int64_t after_token) {
  return run_ids(statements_.render(sql::dead_claims), Params{}.add(after_token));
}

JobTable::Awaitable<ReapedPage> JobTable::reap(int max_crashes, std::int64_t after_token, std::shared_ptr<const EndedPorts> ports,
                                               Rescued which) {
  Params params;
  params.add(max_crashes).add(after_token).add_array(which.but);
  add_chosen(params, which.only);
  auto work = [statement = statements_.render(sql::reap), params = std::move(params), ports = std::move(ports), table = name_](Tx& tx) {
    ReapedPage reaped = read_reaped(tx.exec(statement, params));
    for (const ReapedJob& job : reaped.jobs) {
      if (!ports || job.status == "retrying") continue;
      const auto port = ports->find(job.job_type, job.app);
      if (port) call_port(tx, *port, job.port_id, ended_report(ended_of(job, table)));
    }
    return reaped;
  };
  ReapedPage reaped = co_await db_.run(TxMode::transaction, std::move(work));
  ROWCREW_FAULT_POINT("reap.page");
  co_return reaped;
}

JobTable::Awaitable<JobTable::Promoted> JobTable::promote(std::size_t limit, std::optional<std::int64_t> from_us) {
  Params params;
  params.add(limit).add(text_of(from_us));
  const Rows rows = co_await db_.query(statements_.render(sql::promote), std::move(params));
  Promoted moved;
  moved.jobs = static_cast<std::size_t>(rows.integer(0, 0));
  if (moved.jobs > 0) moved.last_us = rows.integer(0, 1);
  moved.seen_us = rows.integer(0, 2);
  co_return moved;
}

JobTable::Awaitable<std::optional<std::chrono::milliseconds>> JobTable::next_parked(std::optional<std::int64_t> from_us) {
  Params params;
  params.add(text_of(from_us));
  const Rows rows = co_await db_.query(statements_.render(sql::next_parked), std::move(params));
  if (rows.empty()) co_return std::nullopt;
  co_return std::chrono::milliseconds(rows.integer(0, 0));
}

JobTable::Awaitable<JobTable::Pulse> JobTable::pulse(Ids queues, Ids marks) {
  Params params;
  params.add_array(queues).add_array(marks);
  const Rows rows = co_await db_.query(statements_.render(sql::pulse), std::move(params));
  Pulse found;
  if (!rows.is_null(0, 0)) found.next_parked = std::chrono::milliseconds(rows.integer(0, 0));
  found.survivors = rows.boolean(0, 1);
  found.orphans = rows.boolean(0, 2);
  found.ready = rows.boolean(0, 3);
  co_return found;
}

JobTable::Awaitable<JobTable::Extent> JobTable::audit_pages() {
  const Rows rows = co_await db_.query(statements_.render(sql::audit_pages), Params{});
  Extent extent;
  extent.pages = rows.integer(0, 0);
  extent.changes = rows.integer(0, 1);
  co_return extent;
}

JobTable::Awaitable<Ids> JobTable::audit_find(std::int64_t first_page, std::int64_t pages) {
  Params params;
  params.add(first_page).add(pages);
  const Statement find = statements_.render(sql::audit_find);
  auto work = [find, params = std::move(params)](Tx& tx) {
    tx.exec(sql::audit_settings);
    tx.exec(sql::audit_find_settings);
    return first_column(tx.exec(find, params));
  };
  co_return co_await db_.run(TxMode::transaction, std::move(work));
}

JobTable::Awaitable<Ids> JobTable::audit_heal(Ids ids) {
  Params params;
  params.add_array(ids);
  const Statement lock = statements_.render(sql::audit_lock);
  const Statement heal = statements_.render(sql::audit_heal);
  auto work = [lock, heal, params = std::move(params)](Tx& tx) {
    tx.exec(sql::audit_settings);
    const Ids locked = first_column(tx.exec(lock, params));
    return first_column(tx.exec(heal, Params{}.add_array(locked)));
  };
  co_return co_await db_.run(TxMode::transaction, std::move(work));
}

}  // namespace rowcrew
