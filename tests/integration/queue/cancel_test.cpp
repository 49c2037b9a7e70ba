// Cancelling jobs: waiting or running, one or many, whoever is quicker.
#include <boost/asio/co_spawn.hpp>
#include <nlohmann/json.hpp>

#include "held_transaction.hpp"
#include "queue/job_control.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"
#include "support/db/login_role.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
namespace asio = boost::asio;

namespace {

std::string cancel(QueueBench& b, const std::string& id, std::optional<std::string> reason = std::nullopt) {
  return std::string(b.run(sql::cli_cancel, Params{}.add(id).add(reason)).text(0, 0));
}

struct Totals {
  std::int64_t changed = 0;
  std::int64_t requested = 0;
  std::int64_t pages = 0;
};

std::int64_t begin(QueueBench& b, const char* act, const std::string& filter) {
  return b.run(sql::cli_act_begin, Params{}.add(act).add(filter).add("a test")).integer(0, 0);
}

Totals carry_out(QueueBench& b, std::int64_t number, int limit = 500) {
  Totals totals;
  for (bool done = false; !done; ++totals.pages) {
    const Rows page = b.run(sql::cli_act_page, Params{}.add(number).add(limit));
    totals.changed += page.integer(0, 0);
    totals.requested += page.integer(0, 1);
    done = page.boolean(0, 3);
  }
  return totals;
}

std::string row(QueueBench& b, const std::string& id, const std::string& columns) {
  return b.value("SELECT concat_ws('|', " + columns + ") FROM {t} WHERE id = $1::uuid", Params{}.add(id));
}

std::vector<SettledCancel> settle(QueueBench& b) {
  JobControl control(b.pool, table_map(b.table));
  return b.await(control.settle_cancels(500));
}

void subscribe(QueueBench& b) {
  b.exec("INSERT INTO rowcrew.event_subscription (name, events) VALUES ('s', '{job.completed, job.failed, job.cancelled}')");
}

std::string events(QueueBench& b) {
  return b.value("SELECT coalesce(string_agg(event, ',' ORDER BY event), '') FROM rowcrew.job_event");
}

}  // namespace

TEST_CASE("cancel: a waiting job ends at once, says by whom, and its event is written") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    subscribe(b);
    const std::string id = b.insert_one();
    CHECK(cancel(b, id, "wrong photo") == "cancelled");
    CHECK(row(b, id, "status, error_code, error_message, completed_at IS NOT NULL") ==
          "cancelled|cancelled|cancelled by " + b.value("SELECT session_user") + ": wrong photo|t");
    CHECK(events(b) == "job.cancelled");
    CHECK(b.claim(b.node()).empty());
    CHECK(cancel(b, id) == "ended");
    CHECK(cancel(b, "00000000-0000-7000-8000-000000000001") == "unknown");
  }
}

TEST_CASE("cancel: a running job's row is left to its node, whose late success ends as cancelled") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    subscribe(b);
    const std::string id = b.insert_one();
    const auto claimed = b.claim(b.node());
    const std::string before = row(b, id, "xmin, status");
    CHECK(cancel(b, id) == "requested");
    CHECK(cancel(b, id) == "requested");
    CHECK(row(b, id, "xmin, status") == before);
    CHECK(b.complete(claimed) == Ids{id});
    CHECK(row(b, id, "status, attempts, error_code") == "cancelled|1|cancelled");
    CHECK(row(b, id, table == std::string("job_queue") ? "result IS NULL" : "outputs IS NULL") == "t");
    CHECK(events(b) == "job.cancelled");
    CHECK(b.value("SELECT string_agg(outcome || ' ' || attempt, ',') FROM rowcrew.job_attempt") == "cancelled 1");
    CHECK(b.count("{claim}") == 0);
    CHECK(b.hints(id) == "none");
    CHECK(settle(b).size() == 1);
    CHECK(b.count("rowcrew.cancel_request") == 0);
  }
}

TEST_CASE("cancel: whatever else the execution comes to, the job ends as cancelled") {
  for (const Outcome& outcome : {Outcome(Retry("x", "y")), Outcome(Failed("x", "y")), Outcome(Snooze(std::chrono::seconds(5)))}) {
    QueueBench b;
    const std::string id = b.insert_one();
    const auto claimed = b.claim(b.node());
    cancel(b, id, "enough");
    CHECK(b.end(claimed, outcome) == Ids{id});
    CHECK(row(b, id, "status, error_code") == "cancelled|cancelled");
    CHECK(b.hints(id) == "none");
  }
}

TEST_CASE("cancel: neighbours in the batch of a cancelled job end as they are") {
  QueueBench b;
  const Ids ids = b.insert(3);
  const auto claimed = b.claim(b.node());
  cancel(b, ids[1]);
  CHECK(sorted(b.complete(claimed)) == sorted(ids));
  CHECK(b.status(ids[0]) == "completed");
  CHECK(b.status(ids[1]) == "cancelled");
  CHECK(b.status(ids[2]) == "completed");
}

TEST_CASE("cancel: a job whose node dies before it has ended is not run again") {
  QueueBench b;
  subscribe(b);
  const std::string id = b.insert_one();
  const NodeIdentity node = b.node();
  b.claim(node);
  cancel(b, id, "stop");
  CHECK(settle(b).empty());  // it runs
  b.kill(node);
  b.await(b.jobs.reap(3, 0));  // it ends here: whoever claims what was rescued may be quicker than settle
  CHECK(b.count("{parked}") == 0);
  CHECK(settle(b).size() == 1);
  CHECK(b.status(id) == "cancelled");
  CHECK(events(b) == "job.cancelled");
  CHECK(b.count("rowcrew.cancel_request") == 0);
}

TEST_CASE("cancel: a request for a job that is gone, or had ended, is cleared away") {
  QueueBench b;
  const Ids ids = b.insert(2);
  const auto claimed = b.claim(b.node());
  for (const std::string& id : ids) cancel(b, id);
  b.exec("UPDATE {t} SET status = 'completed' WHERE id = '" + ids[0] + "'");
  b.exec("DELETE FROM {t} WHERE id = '" + ids[1] + "'");
  CHECK(settle(b).size() == 1);
  CHECK(b.status(ids[0]) == "completed");
  CHECK(b.count("rowcrew.cancel_request") == 0);
}

TEST_CASE("cancel: a job that runs again is not ended by the request that ended it before") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const std::string id = b.insert_one();
    const auto claimed = b.claim(b.node());
    CHECK(cancel(b, id) == "requested");
    CHECK(b.complete(claimed) == Ids{id});
    CHECK(cancel(b, id) == "ended");
    b.exec("UPDATE {t} SET status = 'pending'");
    CHECK(settle(b).empty());
    CHECK(b.complete(b.claim(b.node())) == Ids{id});
    CHECK(b.status(id) == "completed");
  }
}

TEST_CASE("cancel: by UPDATE it still works, waiting or running") {
  QueueBench b;
  const std::string waiting = b.insert_one();
  b.exec("UPDATE {t} SET status = 'cancelled'");
  CHECK(b.status(waiting) == "cancelled");
  const std::string running = b.insert_one();
  const auto claimed = b.claim(b.node());
  b.exec("UPDATE {t} SET status = 'cancelled' WHERE status = 'processing'");
  CHECK(b.complete(claimed).empty());
  CHECK(b.status(running) == "cancelled");
}

TEST_CASE("cancel: by type, queue and tenant, page by page, in one audit row") {
  QueueBench b;
  const Ids other = b.insert(3, "tenant", "'globex'");
  b.insert(1'200, "tenant", "'acme'");
  CHECK(b.run(sql::cli_preview, Params{}.add("cancel").add(R"({"tenant": "acme"})")).integer(0, 0) == 1'200);
  const auto running = b.claim(b.node(), 10);
  const std::int64_t number = begin(b, "cancel", R"({"tenant": "acme", "type": "t", "queue": "q"})");
  const Totals totals = carry_out(b, number);
  CHECK(totals.changed == 1'200 - 7);
  CHECK(totals.requested == 7);
  CHECK(totals.pages >= 3);
  for (const std::string& id : other) CHECK(b.status(id) != "cancelled");
  CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'cancelled'") == 1'200 - 7);
  CHECK(b.count("rowcrew.cancel_request") == 7);
  const auto audit = nlohmann::json::parse(b.value("SELECT metadata FROM rowcrew.audit_logs WHERE id = $1::bigint", Params{}.add(number)));
  CHECK(b.count("rowcrew.audit_logs") == 1);
  CHECK(audit.at("changed") == 1'193);
  CHECK(audit.at("requested") == 7);
  CHECK(audit.at("filter").at("tenant") == "acme");
  CHECK(audit.at("reason") == "a test");
  CHECK(audit.at("done") == true);
  CHECK(audit.at("first") == b.value("SELECT min(id::text) FROM {t} WHERE tenant = 'acme'"));
  CHECK(audit.at("last") == b.value("SELECT max(id::text) FROM {t} WHERE tenant = 'acme'"));
}

TEST_CASE("cancel: goes over both job tables, and leaves what was enqueued since it began") {
  QueueBench b;
  b.insert(2);
  b.exec("INSERT INTO rowcrew.processing_jobs (type) VALUES ('t')");
  const std::int64_t number = begin(b, "cancel", R"({"type": "t"})");
  const std::string late = b.insert_one("created_at", "now() + interval '1 second'");
  CHECK(carry_out(b, number).changed == 3);
  CHECK(b.status(late) == "pending");
  CHECK(b.value("SELECT status FROM rowcrew.processing_jobs") == "cancelled");
}

TEST_CASE("cancel: does not wait for a row that somebody holds, the fleet ends it afterwards") {
  QueueBench b;
  const Ids ids = b.insert(3);
  {
    const HeldTransaction held(b.db, "UPDATE rowcrew.job_queue SET priority = 6 WHERE id = '" + ids[1] + "'");
    const Totals totals = carry_out(b, begin(b, "cancel", R"({"all": true})"));
    CHECK(totals.changed == 2);
    CHECK(totals.requested == 1);
    CHECK(settle(b).empty());
  }
  CHECK(settle(b).size() == 1);
  CHECK(b.status(ids[1]) == "cancelled");
}

TEST_CASE("cancel: of one job, too, does not wait for its row") {
  QueueBench b;
  const std::string id = b.insert_one();
  HeldTransaction held(b.db, "UPDATE rowcrew.job_queue SET priority = 6");
  CHECK(cancel(b, id) == "requested");
  held.commit();
  CHECK(settle(b).size() == 1);
  CHECK(b.status(id) == "cancelled");
}

TEST_CASE("cancel: a filter that means everything, or nothing that we know, is refused by name") {
  QueueBench b;
  const std::pair<const char*, const char*> refused[] = {
      {"{}", "--all"},
      {R"({"all": false})", "--all"},
      {R"([])", "filter"},
      {R"({"typ": "t"})", "filter.typ"},
      {R"({"type": 5})", "filter.type"},
      {R"({"created_after": "yesterdayish"})", "filter.created_after"},
      {R"({"created_after": "2026-01-02", "created_before": "2026-01-01"})", "filter.created_after"},
      {R"({"ended_after": "2026-01-02", "ended_before": "2026-01-02"})", "filter.ended_after"},
  };
  for (const auto& [filter, named] : refused) {
    CAPTURE(filter);
    std::string error;
    try {
      begin(b, "cancel", filter);
    } catch (const DbError& e) {
      error = e.what();
      CHECK(e.sqlstate() == "22023");
    }
    CHECK(error.find(named) != std::string::npos);
  }
  CHECK_THROWS_AS(begin(b, "explode", R"({"all": true})"), DbError);
  CHECK_THROWS_AS(b.run(sql::cli_act_page, Params{}.add(12345).add(10)), DbError);
  CHECK_THROWS_AS(b.run(sql::cli_act_page, Params{}.add(begin(b, "cancel", R"({"all": true})")).add(0)), DbError);
  CHECK(b.count("rowcrew.audit_logs") == 1);
}

TEST_CASE("cancel: operators may, viewers and the application may not" * with_roles()) {
  QueueBench b;
  const std::string id = b.insert_one();
  const LoginRole operators(b.db, "rowcrew_operator");
  const LoginRole viewer(b.db, "rowcrew_viewer");
  const LoginRole app(b.db, "rowcrew_app");
  CHECK(viewer.failure("SELECT rowcrew.cancel('" + id + "')") == "42501");
  CHECK(app.failure("SELECT rowcrew.cancel('" + id + "')") == "42501");
  CHECK(viewer.failure("SELECT rowcrew.act_begin('cancel', '{\"all\": true}')") == "42501");
  CHECK(viewer.failure("SELECT rowcrew.write_audit('a', 'b', '{}')") == "42501");
  CHECK(viewer.value("SELECT line FROM rowcrew.why('" + id + "')") == "no node is running");
  CHECK(app.failure("SELECT line FROM rowcrew.why('" + id + "')") == "42501");
  CHECK(operators.value("SELECT rowcrew.cancel('" + id + "', 'because')") == "cancelled");
  CHECK(row(b, id, "error_message") == "cancelled by " + operators.name() + ": because");
  CHECK(b.value("SELECT actor || ' ' || action FROM rowcrew.audit_logs") == operators.name() + " job.cancel");
}

TEST_CASE("cancel against finish, ten thousand rounds: each has one winner, and all that tells of it agrees") {
  const Statement race{"race", "SELECT u.id, rowcrew.cancel(u.id) FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n) ORDER BY u.n"};
  constexpr int kBatches = 250;
  constexpr int kJobs = 40;
  QueueBench b("job_queue", 3);
  subscribe(b);
  const NodeIdentity node = b.node();
  int cancelled = 0;
  int completed = 0;
  for (int batch = 0; batch < kBatches; ++batch) {
    const Ids ids = b.insert(kJobs);
    auto claimed = b.claim(node, kJobs);
    REQUIRE(claimed.size() == kJobs);
    std::map<std::string, std::string> answers;
    int left = 2;
    std::exception_ptr failure;
    const auto end = [&](std::exception_ptr e) {
      if (e) failure = e;
      if (--left == 0) b.io.stop();
    };
    const auto finish_all = [&]() -> asio::awaitable<void> {
      for (std::size_t at = 0; at < claimed.size(); at += 5) {
        const std::vector<ClaimedJob> some(claimed.begin() + static_cast<long>(at), claimed.begin() + static_cast<long>(at) + 5);
        const std::vector<EndedJob> ends = ended(some, Completed("1"));
        const EndedJobs jobs(ends);
        const std::vector<std::int64_t> none;
        co_await b.jobs.finish_completed(jobs, none);
      }
    };
    const auto cancel_all = [&]() -> asio::awaitable<void> {
      // Five at a time, as the other side, and from the other end: however fast each of them is, they meet.
      for (std::size_t at = ids.size(); at > 0; at -= 5) {
        std::string list = "{";
        for (std::size_t i = 0; i < 5; ++i) list += (i > 0 ? "," : "") + ids[at - 5 + i];
        Params params;
        params.add(list + "}");
        const Rows rows = co_await b.pool.query(race, std::move(params));
        for (std::size_t i = 0; i < rows.size(); ++i) answers[std::string(rows.text(i, 0))] = rows.text(i, 1);
      }
    };
    asio::co_spawn(b.io, finish_all(), end);
    asio::co_spawn(b.io, cancel_all(), end);
    b.io.restart();
    b.io.run();
    if (failure) std::rethrow_exception(failure);
    while (!settle(b).empty()) {
    }
    b.await(b.jobs.drop_claims({claimed.front().job.claim_token}, node.node_id));
    const Rows rows = b.query("SELECT id, status, (SELECT count(*) FROM rowcrew.job_event e WHERE e.job_id = q.id AND e.event = 'job.' || q.status), "
                              "(SELECT count(*) FROM rowcrew.job_event e WHERE e.job_id = q.id), "
                              "(SELECT count(*) FROM rowcrew.job_attempt a WHERE a.job_id = q.id AND a.outcome = 'cancelled') "
                              "FROM {t} q WHERE id = ANY ($1::uuid[])", Params{}.add_array(ids));
    REQUIRE(rows.size() == kJobs);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string id(rows.text(i, 0));
      const bool was_cancelled = rows.text(i, 1) == "cancelled";
      if (!was_cancelled) CHECK(rows.text(i, 1) == "completed");
      (was_cancelled ? cancelled : completed) += 1;
      CHECK(rows.integer(i, 2) == 1);
      CHECK(rows.integer(i, 3) == 1);
      CHECK(rows.integer(i, 4) == (was_cancelled ? 1 : 0));
      if (answers[id] == "ended") CHECK_FALSE(was_cancelled);
    }
    REQUIRE(b.count("rowcrew.cancel_request") == 0);
  }
  MESSAGE("cancelled " << cancelled << ", completed " << completed);
  CHECK(cancelled + completed == kBatches * kJobs);
  CHECK(cancelled > 0);
  CHECK(completed > 0);
}
