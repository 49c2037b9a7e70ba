#include "queue/job_table.hpp"

#include <algorithm>

#include <rowcrew/fault.hpp>
#include "queue/ended_report.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace {

using Ids = std::vector<std::string>;

Params claim_params(std::int64_t token, NodeIdentity node, const std::vector<ClaimWant>& wants, bool with_marks) {
  Ids queues;
  std::vector<std::int64_t> counts;
  Ids marks;
  for (const ClaimWant& want : wants) {
    queues.push_back(want.queue);
    counts.push_back(static_cast<std::int64_t>(want.count));
    marks.insert(marks.end(), want.marks.begin(), want.marks.end());
  }
  Params params;
  params.add(token).add(node.node_id).add(node.epoch).add_array(queues).add_array(counts);
  if (with_marks) params.add_array(marks);
  return params;
}

struct Claimed {
  std::vector<ClaimedJob> jobs;
  TakenHints taken;
};

ClaimedJob read_job(const Rows& rows, std::size_t i, std::int64_t token, const std::string& table) {
  ClaimedJob claimed;
  Job& job = claimed.job;
  job.id = rows.text(i, 0);
  job.table = table;
  job.job_type = rows.text(i, 1);
  job.queue = rows.text(i, 2);
  job.payload = rows.text(i, 3);
  job.claim_token = token;
  job.attempt = static_cast<int>(rows.integer(i, 4)) + 1;
  job.max_attempts = static_cast<int>(rows.integer(i, 5));
  job.crashes = static_cast<int>(rows.integer(i, 6));
  claimed.hint_run_at_us = rows.integer(i, 7);
  claimed.priority = static_cast<int>(rows.integer(i, 8));
  job.app = rows.text(i, 9);
  return claimed;
}

/// A row without an id tells how many hints were taken of a queue.
Claimed read_claimed(const Rows& rows, std::int64_t token, const std::string& table) {
  Claimed claimed;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.is_null(i, 0)) {
      claimed.taken[std::string(rows.text(i, 2))] = static_cast<std::size_t>(rows.integer(i, 7));
    } else {
      claimed.jobs.push_back(read_job(rows, i, token, table));
    }
  }
  if (claimed.taken.empty()) {
    for (const ClaimedJob& job : claimed.jobs) ++claimed.taken[job.job.queue];
  }
  return claimed;
}

Ids first_column(const Rows& rows) {
  Ids ids;
  ids.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) ids.emplace_back(rows.text(i, 0));
  return ids;
}

struct IdsAndTokens {
  Ids ids;
  std::vector<std::int64_t> tokens;
  void add(const Job& job) {
    ids.push_back(job.id);
    tokens.push_back(job.claim_token);
  }
};

/// A text array as PostgreSQL prints it, without NULLs: "{a,\"b,c\"}".
Ids split_array(std::string_view literal) {
  Ids out;
  if (literal.size() <= 2) return out;
  literal = literal.substr(1, literal.size() - 2);
  out.emplace_back();
  bool quoted = false;
  for (std::size_t at = 0; at < literal.size(); ++at) {
    const char c = literal[at];
    if (c == '"') {
      quoted = !quoted;
    } else if (c == '\\' && at + 1 < literal.size()) {
      out.back() += literal[++at];
    } else if (c == ',' && !quoted) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

}  // namespace

JobTable::JobTable(Db& db, TableMap map) : db_(db), name_(map.name), statements_({}, "") { describe(std::move(map)); }

void JobTable::describe(TableMap map) {
  std::map<std::string_view, Statement, std::less<>> instead;
  constexpr std::string_view kFolder = "adopted/";
  for (const Statement& source : sql::kAll) {
    if (map.adopted && source.name.starts_with(kFolder)) instead.emplace(source.name.substr(kFolder.size()), source);
  }
  std::string suffix = map.adopted ? map.name + "@" + std::to_string(map.epoch) : map.name;
  statements_.replace(std::move(map.values), std::move(suffix), std::move(instead));
}

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
  return run_claim(statements_.render(sql::claim_unlocked), claim_params(token, node, wants, false), token, taken);
}

JobTable::Awaitable<std::vector<ClaimedJob>> JobTable::claim_suspect(std::int64_t token, NodeIdentity node, Ids queues) {
  Params params;
  params.add(token).add(node.node_id).add(node.epoch).add_array(queues);
  return run_claim(statements_.render(sql::claim_suspect), std::move(params), token);
}

JobTable::Awaitable<bool> JobTable::has_suspect(Ids queues) {
  Params params;
  params.add_array(queues);
  const Rows rows = co_await db_.query(statements_.render(sql::has_suspect), std::move(params));
  co_return rows.boolean(0, 0);
}

namespace {

Params completed_params(const EndedJobs& jobs, const std::vector<std::int64_t>& drop) {
  IdsAndTokens keys;
  std::vector<std::optional<std::string>> results;
  for (const EndedJob* ended : jobs.all()) {
    keys.add(ended->job);
    const std::string& result = ended->ending.result;
    results.push_back(result.empty() ? std::nullopt : std::optional(result));
  }
  Params params;
  params.add_array(keys.ids).add_array(keys.tokens).add_array(results).add_array(drop);
  return params;
}

Params ended_params(const EndedJobs& jobs, std::int64_t node_id, const std::vector<std::int64_t>& drop) {
  IdsAndTokens keys;
  Ids statuses;
  Ids outcomes;
  std::vector<std::optional<std::string>> codes;
  std::vector<std::optional<std::string>> messages;
  std::vector<std::int64_t> delays;
  std::vector<std::int64_t> counts;
  std::vector<std::int64_t> durations;
  const auto or_null = [](const std::string& s) { return s.empty() ? std::nullopt : std::optional(s); };
  for (const EndedJob* ended : jobs.all()) {
    keys.add(ended->job);
    statuses.push_back(ended->ending.status);
    outcomes.emplace_back(outcome_word(ended->ending.kind));
    codes.push_back(or_null(ended->ending.code));
    messages.push_back(or_null(ended->ending.message));
    delays.push_back(ended->ending.delay.count());
    counts.push_back(ended->ending.counts ? 1 : 0);
    durations.push_back(std::min<std::int64_t>(ended->duration_ms, INT32_MAX));
  }
  Params params;
  params.add_array(keys.ids).add_array(keys.tokens).add_array(statuses).add_array(outcomes).add_array(codes)
      .add_array(messages).add_array(delays).add_array(counts).add_array(durations).add(node_id).add_array(drop);
  return params;
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
  ended.ending.kind = Ending::Kind::failed;
  ended.ending.status = reaped.status;
  ended.ending.code = reaped.code;
  ended.ending.message = reaped.message;
  return ended;
}

ReapedClaim read_reaped(const Rows& rows) {
  ReapedClaim reaped;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    reaped.token = rows.integer(i, 0);
    if (rows.is_null(i, 1)) continue;
    ReapedJob job;
    job.id = rows.text(i, 1);
    job.job_type = rows.text(i, 2);
    job.status = rows.text(i, 3);
    job.app = rows.text(i, 4);
    job.attempts = static_cast<int>(rows.integer(i, 5));
    job.max_attempts = static_cast<int>(rows.integer(i, 6));
    job.code = rows.text(i, 7);
    job.message = rows.text(i, 8);
    job.port_id = rows.columns() > 9 ? rows.text(i, 9) : rows.text(i, 1);
    reaped.jobs.push_back(std::move(job));
  }
  return reaped;
}

}  // namespace

void EndedJobs::sort_by_id() {
  std::sort(jobs_.begin(), jobs_.end(), [](const EndedJob* a, const EndedJob* b) { return a->job.id < b->job.id; });
}

JobTable::Awaitable<Ids> JobTable::finish_completed(EndedJobs jobs, const std::vector<std::int64_t>& drop) {
  jobs.sort_by_id();
  return run_ids(statements_.render(sql::finish_completed), completed_params(jobs, drop));
}

JobTable::Awaitable<Ids> JobTable::finish_ended(EndedJobs jobs, std::int64_t node_id, const std::vector<std::int64_t>& drop) {
  jobs.sort_by_id();
  return run_ids(statements_.render(sql::finish_ended), ended_params(jobs, node_id, drop));
}

JobTable::Awaitable<Ids> JobTable::finish_reported(const EndedJob& ended, Statement port, std::int64_t node_id, std::vector<std::int64_t> drop) {
  const bool completed = ended.ending.kind == Ending::Kind::completed;
  const EndedJobs one(std::vector<const EndedJob*>{&ended});
  auto work = [finish = statements_.render(completed ? sql::finish_completed : sql::finish_ended),
               params = completed ? completed_params(one, drop) : ended_params(one, node_id, drop),
               port, id = ended.job.id, report = ended_report(ended)](Tx& tx) {
    const Rows rows = tx.exec(finish, params);
    // The id of an adopted table's job may be no uuid; ports know it by the one made of it.
    if (!rows.empty()) call_port(tx, port, rows.columns() > 1 ? std::string(rows.text(0, 1)) : id, report);
    return first_column(rows);
  };
  co_return co_await db_.run(TxMode::transaction, std::move(work));
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

JobTable::Awaitable<std::vector<std::pair<std::string, std::string>>> JobTable::lost_running(std::vector<Job> jobs) {
  IdsAndTokens keys;
  for (const Job& job : jobs) keys.add(job);
  Params params;
  params.add_array(keys.ids).add_array(keys.tokens);
  const Rows rows = co_await db_.query(statements_.render(sql::lost_running), std::move(params));
  std::vector<std::pair<std::string, std::string>> lost;
  for (std::size_t i = 0; i < rows.size(); ++i) lost.emplace_back(rows.text(i, 0), rows.text(i, 1));
  co_return lost;
}

JobTable::Awaitable<ReapedClaim> JobTable::reap(int max_crashes, std::vector<std::int64_t> skip, std::shared_ptr<const EndedPorts> ports) {
  Params params;
  params.add(max_crashes).add_array(skip);
  auto work = [statement = statements_.render(sql::reap), params = std::move(params), ports = std::move(ports), table = name_](Tx& tx) {
    ReapedClaim reaped = read_reaped(tx.exec(statement, params));
    for (const ReapedJob& job : reaped.jobs) {
      if (!ports || job.status != "failed") continue;
      const auto port = ports->find(job.job_type, job.app);
      if (port) call_port(tx, *port, job.port_id, ended_report(ended_of(job, table)));
    }
    return reaped;
  };
  ReapedClaim reaped = co_await db_.run(TxMode::transaction, std::move(work));
  ROWCREW_FAULT_POINT("reap.page");
  co_return reaped;
}

JobTable::Awaitable<std::uint64_t> JobTable::promote(std::size_t limit) {
  Params params;
  params.add(limit);
  const Rows rows = co_await db_.query(statements_.render(sql::promote), std::move(params));
  co_return rows.affected();
}

JobTable::Awaitable<std::optional<std::chrono::milliseconds>> JobTable::next_parked() {
  const Rows rows = co_await db_.query(statements_.render(sql::next_parked), Params{});
  if (rows.empty()) co_return std::nullopt;
  co_return std::chrono::milliseconds(rows.integer(0, 0));
}

JobTable::Awaitable<std::int64_t> JobTable::audit_pages() {
  const Rows rows = co_await db_.query(statements_.render(sql::audit_pages), Params{});
  co_return rows.integer(0, 0);
}

JobTable::Awaitable<Ids> JobTable::audit_find(std::int64_t first_page, std::int64_t pages) {
  Params params;
  params.add(first_page).add(pages);
  const Statement find = statements_.render(sql::audit_find);
  auto work = [find, params = std::move(params)](Tx& tx) {
    tx.exec(sql::audit_settings);
    return first_column(tx.exec(find, params));
  };
  co_return co_await db_.run(TxMode::transaction, std::move(work));
}

JobTable::Awaitable<Ids> JobTable::audit_heal(Ids ids) {
  Params params;
  params.add_array(ids);
  const Statement heal = statements_.render(sql::audit_heal);
  auto work = [heal, params = std::move(params)](Tx& tx) {
    tx.exec(sql::audit_settings);
    return first_column(tx.exec(heal, params));
  };
  co_return co_await db_.run(TxMode::transaction, std::move(work));
}

}  // namespace rowcrew
