// Many jobs in one call, and what a unique key that a live job has means for it.
#include <algorithm>
#include <atomic>
#include <thread>

#include <rowcrew/enqueue.hpp>

#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

Rows many(QueueBench& b, const std::string& array) {
  return b.run(sql::enqueue_many, Params{}.add(array));
}

/// The outcomes in order, joined by blanks.
std::string outcomes(QueueBench& b, const std::string& array) {
  return b.value("SELECT string_agg(CASE WHEN created THEN outcome ELSE '(' || outcome || ')' END, ' ' ORDER BY n) "
                 "FROM rowcrew.enqueue_many($1::jsonb)", Params{}.add(array));
}

std::string refusal(QueueBench& b, const std::string& array) {
  try {
    many(b, array);
  } catch (const DbError& e) {
    const std::string text = e.what();
    return e.sqlstate() + " " + text.substr(std::min(text.find('['), text.size()));
  }
  return "accepted";
}

std::string job(QueueBench& b, const std::string& id) {
  return b.value("SELECT concat_ws('|', status, payload, queue, priority, attempts, max_attempts, error_code, scheduled_at > now() + interval '1 min', app) "
                 "FROM {t} WHERE id = $1::uuid", Params{}.add(id));
}

std::string enqueue_with(QueueBench& b, const std::string& key, const std::string& if_exists, const std::string& payload = "{}",
                         const std::string& more = "") {
  return b.value("SELECT rowcrew.enqueue('t', $3::jsonb, 'q', p_unique_key => $1, p_if_exists => $2" + more + ")::text",
                 Params{}.add(key).add(if_exists).add(payload));
}

std::string state_of(QueueBench& b, const std::string& key, const std::string& if_exists) {
  try {
    enqueue_with(b, key, if_exists);
  } catch (const DbError& e) {
    return e.sqlstate();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("enqueue_many: is as quick in a node's session, which joins by nested loops, as in any other") {
  QueueBench b;
  const auto span = [&b](const char* planned) {
    const std::string before = b.value("SELECT clock_timestamp()::text");
    b.value("SELECT count(*)::text FROM rowcrew." + std::string(planned) + "(), rowcrew.enqueue_many("
            "(SELECT jsonb_agg(jsonb_build_object('job_type', 't')) FROM generate_series(1, 6000)))");
    return std::stod(b.value("SELECT extract(epoch FROM clock_timestamp() - $1::timestamptz)::text", Params{}.add(before)));
  };
  span("plan_as_usual");
  CHECK(std::min(span("plan_by_index"), span("plan_by_index")) < 3 * std::max(span("plan_as_usual"), span("plan_as_usual")));
}

TEST_CASE("enqueue_many: a row per element, in order, with what was not given from the job type") {
  QueueBench b;
  b.exec("INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop')");
  b.exec("INSERT INTO rowcrew.job_type (name, queue, priority, max_attempts) VALUES ('mail', 'post', 1, 9)");
  const Rows rows = many(b, R"([
    {"job_type": "mail"},
    {"job_type": "mail", "payload": {"n": 1.10}, "queue": "fast", "priority": 0, "max_attempts": 1000, "delay_ms": 3600000, "app": "shop"},
    {"job_type": "t", "payload": null, "queue": null, "priority": null, "scheduled_at": "2099-01-01T00:00:00Z", "unique_key": "k"}])");
  REQUIRE(rows.size() == 3);
  const auto at = [&](std::size_t i) { return std::string(rows.text(i, 0)); };
  CHECK(job(b, at(0)) == "pending|{}|post|1|0|9|f");
  CHECK(job(b, at(1)) == R"(pending|{"n": 1.10}|fast|0|0|1000|t|shop)");
  CHECK(job(b, at(2)) == "pending|{}|default|5|0|5|t");
  CHECK(b.hints(at(0)) == "ready");
  CHECK(b.hints(at(1)) == "parked:scheduled");
  CHECK(b.count("{t} WHERE enqueued_by = session_user") == 3);
  CHECK(many(b, "[]").empty());
}

TEST_CASE("enqueue_many: what is wrong is named by element and field, and nothing is enqueued") {
  QueueBench b;
  const auto second = [&](const std::string& element) { return refusal(b, R"([{"job_type": "t"}, )" + element + "]"); };
  CHECK(second("5") == "22023 [1]: number, expected an object (22023)");
  CHECK(second("{}").starts_with("22023 [1].job_type: missing, expected a string"));
  CHECK(second(R"({"job_type": null})").starts_with("22023 [1].job_type: null, expected a string"));
  CHECK(second(R"({"job_type": ""})").starts_with("22023 [1].job_type: \"\", expected"));
  CHECK(second(R"({"job_type": 7})").starts_with("22023 [1].job_type: 7, expected"));
  CHECK(second(R"({"job_type": "t", "prioritty": 1})").starts_with("22023 [1].prioritty: unknown field, expected job_type, payload"));
  CHECK(second(R"({"job_type": "t", "priority": "high"})").starts_with("22023 [1].priority: \"high\", expected a whole number from 0 to 9"));
  CHECK(second(R"({"job_type": "t", "priority": 10})").starts_with("22023 [1].priority: 10"));
  CHECK(second(R"({"job_type": "t", "priority": "3"})").starts_with("22023 [1].priority: \"3\""));
  CHECK(second(R"({"job_type": "t", "max_attempts": 0})").starts_with("22023 [1].max_attempts: 0, expected"));
  CHECK(second(R"({"job_type": "t", "delay_ms": -1})").starts_with("22023 [1].delay_ms: -1"));
  CHECK(second(R"({"job_type": "t", "delay_ms": 1, "scheduled_at": "2030-01-01"})").starts_with("22023 [1].delay_ms: 1, expected either"));
  CHECK(second(R"({"job_type": "t", "scheduled_at": "soon"})").starts_with("22023 [1].scheduled_at: 'soon', expected a point in time"));
  CHECK(second(R"({"job_type": "t", "scheduled_at": 7})").starts_with("22023 [1].scheduled_at: 7"));
  CHECK(second(R"({"job_type": "t", "queue": ""})").starts_with("22023 [1].queue: \"\""));
  CHECK(second(R"({"job_type": "t", "unique_key": ""})").starts_with("22023 [1].unique_key: \"\""));
  CHECK(second(R"({"job_type": "t", "tenant": ""})").starts_with("22023 [1].tenant: \"\", expected a string of 1 to 100"));
  CHECK(second(R"({"job_type": "t", "if_exists": "overwrite"})").starts_with("22023 [1].if_exists: \"overwrite\", expected \"keep\""));
  CHECK(second(R"({"job_type": "t", "app": "nobody"})").starts_with("22023 [1].app: 'nobody', expected a name in rowcrew.app"));
  for (const char* no_array : {"{}", "null", "\"x\""}) CHECK(refusal(b, no_array).starts_with("22023 "));
  CHECK(b.count("{t}") == 0);
  CHECK(b.count("rowcrew.job_unique") == 0);
}

TEST_CASE("enqueue_many: an earlier element has its key as any live job has") {
  QueueBench b;
  CHECK(outcomes(b, R"([{"job_type": "t", "unique_key": "b"}, {"job_type": "t", "unique_key": "a"},
                        {"job_type": "t", "unique_key": "b", "payload": {"n": 2}, "if_exists": "replace"},
                        {"job_type": "t", "unique_key": "b"}, {"job_type": "t"}])") ==
        "created created (replaced) (kept) created");
  CHECK(b.value("SELECT payload ->> 'n' FROM {t} WHERE unique_key = 'b'") == "2");
  CHECK(b.count("{t}") == 3);
  CHECK(refusal(b, R"([{"job_type": "t"}, {"job_type": "t", "unique_key": "a", "if_exists": "reject"}])")
            .starts_with("23505 [1].unique_key: unique key 'a' is taken by job"));
  CHECK(b.count("{t}") == 3);
}

TEST_CASE("enqueue: keep gives the live job's id, replace makes it the new one, reject is an error") {
  QueueBench b;
  b.exec("INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop')");
  const std::string id = enqueue_with(b, "k", "keep", R"({"n": 1})");
  CHECK(enqueue_with(b, "k", "keep", R"({"n": 2})") == id);
  CHECK(job(b, id) == R"(pending|{"n": 1}|q|5|0|5|f)");
  CHECK(state_of(b, "k", "reject") == "23505");
  CHECK(state_of(b, "k", "destroy") == "22023");
  CHECK(enqueue_with(b, "k", "replace", R"({"n": 3})",
                     ", p_priority => 0, p_scheduled_at => now() + interval '1 h', p_max_attempts => 2, p_app => 'shop'") == id);
  CHECK(job(b, id) == R"(pending|{"n": 3}|q|0|0|2|t|shop)");
  CHECK(b.claim(b.node()).empty());
  enqueue_with(b, "k", "replace", R"({"n": 4})");
  const auto claimed = b.claim(b.node());
  REQUIRE(claimed.size() == 1);
  CHECK(claimed[0].job.payload == R"({"n": 4})");
  CHECK(b.count("{t}") == 1);
}

TEST_CASE("enqueue: an app that nobody registered is refused and no job is left to fail for it") {
  QueueBench b;
  CHECK_THROWS_WITH_AS(b.exec("SELECT rowcrew.enqueue('t', p_app => 'nobody')"),
                       doctest::Contains("enqueue: p_app is 'nobody', expected a name in rowcrew.app"), DbError);
  CHECK(b.value("SELECT count(*) FROM rowcrew.job_queue") == "0");
}

TEST_CASE("enqueue: a tenant can be named by every way in, so that limits and pauses by tenant meet those jobs, too") {
  QueueBench b;
  const auto tenants = [&] { return b.value("SELECT concat_ws(' ', count(*), string_agg(tenant, ' ' ORDER BY tenant)) FROM {t}"); };
  enqueue_with(b, "k", "keep", "{}", ", p_tenant => 'acme'");
  CHECK(outcomes(b, R"([{"job_type": "t", "tenant": "beta"}, {"job_type": "t"}, {"job_type": "t", "tenant": null}])") == "created created created");
  auto work = [&](Tx& tx) {
    NewJob job("t");
    job.tenant = "gamma";
    enqueue(tx, job);
  };
  b.await(b.pool.run(TxMode::transaction, work));
  CHECK(tenants() == "5 acme beta gamma");
  enqueue_with(b, "k", "replace", "{}", ", p_tenant => 'delta'");
  CHECK(tenants() == "5 beta delta gamma");
  enqueue_with(b, "k", "replace");
  CHECK(tenants() == "5 beta gamma");
}

TEST_CASE("enqueue: an empty unique key, as programs write for none, is refused and not one key of all jobs") {
  QueueBench b;
  for (const std::string& key : {std::string(), std::string(301, 'k'), std::string(300'000, 'k')}) {
    std::string said;
    try {
      enqueue_with(b, key, "keep");
    } catch (const DbError& e) {
      said = e.sqlstate() + " " + e.what();
    }
    CHECK(said.starts_with("23514 "));
    CHECK(said.find("unique key of " + std::to_string(key.size()) + " characters, expected 1 to 300, or null for none") != std::string::npos);
  }
  CHECK(b.count("{t}") == 0);
}

TEST_CASE("enqueue: a job that waits for its next attempt starts over when it is replaced") {
  QueueBench b;
  const std::string id = enqueue_with(b, "k", "keep");
  b.end(b.claim(b.node()), Retry("http_503", "busy"));
  CHECK(job(b, id).starts_with("retrying|{}|q|5|1|5|http_503"));
  enqueue_with(b, "k", "replace", R"({"n": 2})");
  CHECK(job(b, id) == R"(pending|{"n": 2}|q|5|0|5|f)");
}

TEST_CASE("enqueue: nothing of the job that is replaced is left to the new one, neither age, crashes nor checkpoint") {
  QueueBench b;
  const std::string id = enqueue_with(b, "k", "keep");
  b.exec("UPDATE {t} SET created_at = now() - interval '1 day', crashes = 2, lonely_crashes = 1");
  b.query("INSERT INTO rowcrew.job_progress (job_table, job_id, checkpoint) VALUES ('job_queue', $1::uuid, '{\"page\": 9}')", Params{}.add(id));
  CHECK(enqueue_with(b, "k", "replace") == id);
  CHECK(b.value("SELECT concat_ws('|', created_at > now() - interval '1 min', crashes, lonely_crashes) FROM {t}") == "t|0|0");
  CHECK(b.count("rowcrew.job_progress") == 0);
  CHECK(ids_of(b.claim(b.node())) == Ids{id});
}

TEST_CASE("enqueue: a job that gives up its unique key, or takes another, frees the first") {
  QueueBench b;
  const std::string first = enqueue_with(b, "k", "keep");
  b.exec("UPDATE {t} SET unique_key = NULL");
  const std::string second = enqueue_with(b, "k", "keep");
  CHECK(second != first);
  b.exec("UPDATE {t} SET unique_key = 'other' WHERE unique_key = 'k'");
  CHECK(enqueue_with(b, "other", "keep") == second);
  CHECK(enqueue_with(b, "k", "keep") != second);
  CHECK_THROWS_WITH_AS(b.exec("UPDATE {t} SET unique_key = 'other' WHERE unique_key = 'k'"), doctest::Contains("cannot change: 'other' is taken by job"), DbError);
  b.exec("UPDATE {t} SET status = 'completed'");
  CHECK(b.count("rowcrew.job_unique") == 0);
}

TEST_CASE("enqueue: a key that was left behind by a job which is gone or has ended keeps nobody out") {
  QueueBench b;
  for (const char* if_exists : {"keep", "replace", "reject"}) {
    CAPTURE(if_exists);
    const std::string ended = b.insert_one("status", "'completed'");
    for (const std::string& holder : {ended, std::string("00000000-0000-7000-8000-000000000001")}) {
      b.exec("DELETE FROM rowcrew.job_unique");
      b.query("INSERT INTO rowcrew.job_unique (scope, key, job_table, job_id) VALUES ('live:job_queue', 'k', 'job_queue', $1::uuid)", Params{}.add(holder));
      const std::string id = enqueue_with(b, "k", if_exists);
      CHECK(b.status(id) == "pending");
      CHECK(b.value("SELECT job_id FROM rowcrew.job_unique") == id);
    }
  }
}

TEST_CASE("unique keys: a job that is run again takes its key back, and is refused while another live job has it") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const std::string id = b.insert_one("unique_key, status", "'k', 'failed'");
    b.exec("UPDATE {t} SET status = 'pending'");
    CHECK(b.value("SELECT concat_ws('|', scope, key, job_id) FROM rowcrew.job_unique") == std::string("live:") + table + "|k|" + id);
    const std::string other = b.insert_one("unique_key, status", "'k', 'completed'");
    std::string said;
    try {
      b.query("UPDATE {t} SET status = 'pending' WHERE id = $1::uuid", Params{}.add(other));
    } catch (const DbError& e) {
      said = e.sqlstate() + " " + e.what();
    }
    CHECK(said.starts_with("23505"));
    CHECK(said.find("unique key 'k' is taken by job " + id) != std::string::npos);
    b.query("UPDATE {t} SET status = 'pending', unique_key = NULL WHERE id = $1::uuid", Params{}.add(other));
    b.exec("UPDATE {t} SET status = 'cancelled'");
    CHECK(b.count("rowcrew.job_unique") == 0);
  }
}

TEST_CASE("enqueue: a running job is not replaced, and that is told") {
  QueueBench b;
  const std::string id = enqueue_with(b, "k", "keep", R"({"n": 1})");
  REQUIRE(b.claim(b.node()).size() == 1);
  CHECK(enqueue_with(b, "k", "replace", R"({"n": 2})") == id);
  CHECK(outcomes(b, R"([{"job_type": "t", "unique_key": "k", "if_exists": "replace"}])") == "(running)");
  CHECK(b.value("SELECT payload ->> 'n' FROM {t}") == "1");
  CHECK(state_of(b, "k", "reject") == "23505");
  b.exec("UPDATE {t} SET status = 'completed'");
  CHECK(outcomes(b, R"([{"job_type": "t", "unique_key": "k", "if_exists": "reject"}])") == "created");
}

TEST_CASE("enqueue: a key is no way to another type's or another role's job") {
  QueueBench b;
  enqueue_with(b, "k", "keep");
  CHECK(refusal(b, R"([{"job_type": "u", "unique_key": "k", "if_exists": "replace"}])")
            .starts_with("22023 [0].unique_key: the job of unique key 'k' is of type 't', expected 'u'"));
  b.exec("UPDATE {t} SET enqueued_by = 'somebody'");
  CHECK(state_of(b, "k", "replace") == "42501");
  CHECK(b.value("SELECT payload::text FROM {t}") == "{}");
}

TEST_CASE("enqueue_many: two producers with the same keys in opposite order never wait for each other") {
  QueueBench b("job_queue", 4);
  std::string forth = "[";
  std::string back = "]";
  for (int i = 0; i < 60; ++i) {
    const std::string element = R"({"job_type": "t", "if_exists": "replace", "unique_key": "key-)" + std::to_string(i) + "\"}";
    forth += (i > 0 ? "," : "") + element;
    back = (i > 0 ? "," : "") + back;
    back = element + back;
  }
  forth += "]";
  back = "[" + back;
  std::atomic<int> failures{0};
  const auto produce = [&](const std::string& array) {
    for (int round = 0; round < 40; ++round) {
      try {
        b.db.query("SELECT count(*) FROM rowcrew.enqueue_many($1::jsonb)", Params{}.add(array));
      } catch (const DbError& e) {
        MESSAGE(e.what());
        ++failures;
      }
    }
  };
  std::thread one([&] { produce(forth); });
  std::thread other([&] { produce(back); });
  one.join();
  other.join();
  CHECK(failures == 0);
  CHECK(b.count("{t}") == 60);
  CHECK(b.count("rowcrew.job_unique") == 60);
}

TEST_CASE("enqueue: from C++, in the caller's transaction, each field") {
  QueueBench b;
  b.exec("INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop')");
  NewJob all("mail", R"({"text": "a \"quoted\" line\n", "n": 0.10})");
  all.queue = "post";
  all.priority = 2;
  all.delay = std::chrono::hours(2);
  all.max_attempts = 7;
  all.app = "shop";
  all.unique_key = "it's {a} \"key\", \\";
  std::vector<Enqueued> done;
  auto work = [&](Tx& tx) { done = enqueue(tx, {all, NewJob("t"), all}); };
  b.await(b.pool.run(TxMode::transaction, work));
  REQUIRE(done.size() == 3);
  CHECK(job(b, done[0].id) == R"x(pending|{"n": 0.10, "text": "a \"quoted\" line\n"}|post|2|0|7|t|shop)x");
  CHECK(b.value("SELECT unique_key FROM {t} WHERE id = $1::uuid", Params{}.add(done[0].id)) == *all.unique_key);
  CHECK(done[2].id == done[0].id);
  CHECK(done[2].result == Enqueued::Result::kept);
  all.payload = "{no json";
  CHECK_THROWS_WITH_AS(b.await(b.pool.run(TxMode::transaction, work)), doctest::Contains("\"mail\" is no JSON"), PermanentError);
  CHECK(b.count("{t}") == 2);
}

TEST_CASE("enqueue: a plain INSERT of many rows enqueues each of them") {
  QueueBench b;
  b.exec("INSERT INTO {t} (job_type, queue, scheduled_at) VALUES ('t', 'q', now()), ('t', 'q', now() + interval '1 h'), ('t', 'q', now())");
  CHECK(b.count("{ready}") == 2);
  CHECK(b.count("{parked}") == 1);
  CHECK(b.claim(b.node()).size() == 2);
}

TEST_CASE("enqueue: calls with the seven parameters of before mean what they meant") {
  QueueBench b;
  CHECK(b.value("SELECT rowcrew.enqueue('t', '{}', 'q', 1, now(), 3, 'key') = rowcrew.enqueue(p_job_type => 't', p_unique_key => 'key')") == "t");
  CHECK(b.count("{t} WHERE queue = 'q' AND priority = 1 AND max_attempts = 3") == 1);
}
