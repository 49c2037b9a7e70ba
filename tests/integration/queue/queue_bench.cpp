#include "queue_bench.hpp"

#include <algorithm>
#include <set>

#include "support/at_end.hpp"

namespace rowcrew::testing {
namespace {

PoolOptions with_threads(PoolOptions options, unsigned threads) {
  options.threads = threads;
  return options;
}

void replace_all(std::string& text, std::string_view from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

Ids first_column(const Rows& rows) {
  Ids ids;
  for (std::size_t i = 0; i < rows.size(); ++i) ids.emplace_back(rows.text(i, 0));
  return ids;
}

std::vector<std::int64_t> tokens_of(const std::vector<ClaimedJob>& jobs) {
  std::set<std::int64_t> tokens;
  for (const ClaimedJob& job : jobs) tokens.insert(job.job.claim_token);
  return {tokens.begin(), tokens.end()};
}

/// The database of the last test, if another may have it.
std::unique_ptr<TempDatabase>& left_over() {
  static std::unique_ptr<TempDatabase> database;
  // Dropping it needs statics of others, which may be gone before ours.
  [[maybe_unused]] static const bool registered = (at_end([] { database.reset(); }), true);
  return database;
}

std::unique_ptr<TempDatabase> obtain(QueueBench::Database which) {
  if (which == QueueBench::Database::fresh || !left_over()) return std::make_unique<TempDatabase>();
  left_over()->exec(
      "DO $$ DECLARE t regclass; filled boolean; BEGIN "
      "FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'rowcrew'::regnamespace "
      "  AND relkind IN ('r', 'p') AND NOT relispartition "
      "  AND relname NOT IN ('meta', 'schema_migration', 'port', 'preset', 'retention_policy', 'limit_turn') "
      "  ORDER BY relname NOT IN ('job_queue', 'processing_jobs') LOOP "  // whose claims give permits back
      "  EXECUTE format('SELECT EXISTS (SELECT FROM %s)', t) INTO filled; "
      "  IF filled THEN EXECUTE format('TRUNCATE %s CASCADE', t); END IF; "
      "END LOOP; END $$");
  return std::move(left_over());
}

}  // namespace

QueueBench::QueueBench(const std::string& table_name, unsigned threads, Database database)
    : owned_(obtain(database)),
      db(*owned_),
      pool(with_threads(db.options(), threads), log),
      table(table_name),
      qualified("rowcrew." + table_name),
      jobs(pool, table_map(table)) {}

QueueBench::~QueueBench() {
  if (!changed_) left_over() = std::move(owned_);
}

void QueueBench::ddl(const std::string& sql) {
  changed_ = true;
  db.exec(sql);
}

void QueueBench::adopt_like_job_queue() {
  ddl(R"(
    CREATE TABLE public.theirs (
      id uuid PRIMARY KEY, job_type text NOT NULL, queue text, tenant text, payload jsonb NOT NULL DEFAULT '{}', status text NOT NULL DEFAULT 'pending',
      priority integer NOT NULL DEFAULT 5, attempts integer NOT NULL DEFAULT 0, max_attempts integer NOT NULL DEFAULT 5, scheduled_at timestamptz,
      created_at timestamptz NOT NULL DEFAULT now(), result jsonb);
    DO $$ BEGIN
      PERFORM rowcrew.adopted_record('{"schema": "public", "table": "theirs", "name": "theirs", "key": "id", "payload": "payload", "old_worker": "none",
        "states": {"pending": "pending", "processing": "processing", "completed": "completed", "failed": "failed", "retrying": "retrying", "cancelled": "cancelled"},
        "columns": {"status": "status", "job_type": "job_type", "queue": "queue", "tenant": "tenant", "priority": "priority", "attempts": "attempts",
                    "max_attempts": "max_attempts", "scheduled_at": "scheduled_at", "created_at": "created_at", "result": "result"}}');
      PERFORM rowcrew.adopted_create_companions('theirs'), rowcrew.adopted_create_functions('theirs'), rowcrew.adopted_make_take('theirs');
      PERFORM rowcrew.adopted_attach('theirs');
      UPDATE rowcrew.adopted_table SET mode = 'serve', hold_reason = NULL;
    END $$)");
  table = "theirs";
  qualified = "public.theirs";
  jobs.describe(adopted_map());
}

TableMap QueueBench::adopted_map() {
  // By the name that its jobs have here, which is that of the table before.
  return adopted_table_map("job_queue", 1, value("SELECT template FROM rowcrew.adopted_table"));
}

std::string QueueBench::named(std::string_view sql) const {
  std::string text(sql);
  replace_all(text, "{t}", qualified);
  for (const char* companion : {"ready", "parked", "claim", "limited"}) {
    replace_all(text, std::string("{") + companion + "}", "rowcrew." + table + "_" + companion);
  }
  replace_all(text, "{type}", table == "processing_jobs" ? "type" : "job_type");
  return text;
}

Rows QueueBench::run(const Statement& statement, Params params) {
  return await(pool.query(statement, std::move(params)));
}

Rows QueueBench::query(std::string_view sql, const Params& params) {
  const std::string& text = *texts_.insert(named(sql)).first;
  return run(Statement{text, text}, params);
}

std::string QueueBench::value(std::string_view sql, const Params& params) {
  return std::string(query(sql, params).text(0, 0));
}

std::int64_t QueueBench::number(std::string_view sql, const Params& params) {
  return query(sql, params).integer(0, 0);
}

Ids QueueBench::insert(int count, const std::string& columns, const std::string& values) {
  const std::string sql =
      "INSERT INTO {t} (id, {type}, queue" + (columns.empty() ? "" : ", " + columns) +
      ") SELECT rowcrew.uuid7(), 't', 'q'" + (values.empty() ? "" : ", " + values) +
      " FROM generate_series(1, $1::int) n ORDER BY n RETURNING id";
  return first_column(query(sql, Params{}.add(count)));
}

std::string QueueBench::insert_one(const std::string& columns, const std::string& values) {
  return insert(1, columns, values).at(0);
}

NodeIdentity QueueBench::node(std::int64_t epoch) {
  const std::int64_t id = number(
      "INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues) "
      "VALUES ($1::bigint, 30000, 'node', 'host', 1, '0', '{q}') RETURNING node_id",
      Params{}.add(epoch));
  return {id, epoch};
}

void QueueBench::kill(NodeIdentity identity) {
  query("UPDATE rowcrew.node SET dead = true WHERE node_id = $1::bigint",
        Params{}.add(identity.node_id));
}

ClaimWant QueueBench::want(const std::string& queue, std::size_t count) {
  ClaimWant want;
  want.queue = queue;
  want.count = count;
  want.marks.assign(10, "-infinity");
  return want;
}

std::vector<ClaimedJob> QueueBench::claim(NodeIdentity by, std::size_t count) {
  const std::int64_t token = new_token();
  return await(jobs.claim(token, by, {want("q", count)}));
}

std::vector<ClaimedJob> QueueBench::claim_suspect(NodeIdentity by) {
  const std::int64_t token = new_token();
  return await(jobs.claim_suspect(token, by, {"q"}));
}

Ids QueueBench::complete(const std::vector<ClaimedJob>& claimed, bool drop) {
  std::vector<std::int64_t> tokens;
  if (drop) tokens = tokens_of(claimed);
  return await(jobs.finish_completed(ended(claimed, Completed(R"({"n": 1})")), tokens));
}

Ids QueueBench::end(const std::vector<ClaimedJob>& claimed, const Outcome& outcome, bool drop) {
  std::vector<std::int64_t> tokens;
  if (drop) tokens = tokens_of(claimed);
  return await(jobs.finish_ended(ended(claimed, outcome), 77, tokens));
}

std::string QueueBench::status(const std::string& id) {
  return value("SELECT status FROM {t} WHERE id = $1::uuid", Params{}.add(id));
}

std::string QueueBench::hints(const std::string& id) {
  return value(
      "SELECT coalesce(string_agg(hint, '+' ORDER BY hint), 'none') FROM ("
      "SELECT 'ready' FROM {ready} WHERE id = $1::uuid UNION ALL "
      "SELECT 'limited' FROM {limited} WHERE id = $1::uuid UNION ALL "
      "SELECT 'parked:' || reason FROM {parked} WHERE id = $1::uuid) h (hint)",
      Params{}.add(id));
}

std::int64_t QueueBench::count(std::string_view what) {
  return number("SELECT count(*) FROM " + std::string(what));
}

Ids ids_of(const std::vector<ClaimedJob>& claimed) {
  Ids ids;
  for (const ClaimedJob& job : claimed) ids.push_back(job.job.id);
  return ids;
}

Ids sorted(Ids ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace rowcrew::testing
