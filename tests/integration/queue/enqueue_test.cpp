// Enqueueing by function, with and without keys, also at once.
#include <set>

#include "held_transaction.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"
#include "together.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

const std::string kHash(64, 'a');

void add_key(QueueBench& b, const std::string& job_types = "{*}") {
  b.query("INSERT INTO rowcrew.api_key (name, key_hash, job_types) VALUES ('shop', $1, $2::text[])",
          Params{}.add(kHash).add(job_types));
}

/// ingest/enqueue with an idempotency key, a unique key, both, or neither.
Params request(const std::string& job_type, std::optional<std::string> once = {},
               std::optional<std::string> unique_key = {}) {
  return Params{}
      .add(kHash)
      .add(job_type)
      .add(R"({"to": "ann"})")
      .add(once)
      .add(std::nullopt)
      .add(std::nullopt)
      .add(std::nullopt)
      .add(unique_key)
      .add(std::nullopt);
}

std::string refusal_of(QueueBench& b, const Params& params) {
  try {
    b.run(sql::ingest_enqueue, params);
  } catch (const DbError& e) {
    return e.sqlstate();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("ingest: a key is found by its hash, until it is revoked") {
  QueueBench b;
  add_key(b);
  const Rows found = b.run(sql::ingest_key, Params{}.add(kHash));
  REQUIRE(found.size() == 1);
  CHECK(found.text(0, 0) == "shop");
  CHECK(b.run(sql::ingest_key, Params{}.add(std::string(64, 'b'))).empty());
  b.exec("UPDATE rowcrew.api_key SET revoked_at = now()");
  CHECK(b.run(sql::ingest_key, Params{}.add(kHash)).empty());
  CHECK(refusal_of(b, request("mail")) == "28000");
}

TEST_CASE("ingest: a key enqueues what its scope names; a star leaves out what reaches far") {
  QueueBench b;
  add_key(b, "{*}");
  for (const char* far : {"command", "http", "sql"}) CHECK(refusal_of(b, request(far)) == "42501");
  CHECK(refusal_of(b, request("mail")) == "accepted");
  b.exec("UPDATE rowcrew.api_key SET job_types = '{mail,command}'");
  CHECK(refusal_of(b, request("command")) == "accepted");
  CHECK(refusal_of(b, request("photo")) == "42501");
  CHECK(refusal_of(b, request("http")) == "42501");
  b.exec("UPDATE rowcrew.api_key SET job_types = '{}'");
  CHECK(refusal_of(b, request("mail")) == "42501");
  CHECK(b.count("{t}") == 2);
}

TEST_CASE(
    "ingest: queue, priority, delay and attempts come from the call, then from the job type") {
  QueueBench b;
  add_key(b);
  b.exec(
      "INSERT INTO rowcrew.job_type (name, queue, priority, max_attempts) VALUES ('mail', 'post', "
      "1, 9)");
  Params params = Params{}.add(kHash).add("mail").add("{}").add(std::nullopt);
  const std::string by_type(
      b.run(sql::ingest_enqueue,
            Params(params).add(std::nullopt).add(std::nullopt).add(std::nullopt).add(std::nullopt).add(std::nullopt))
          .text(0, 0));
  const std::string by_call(
      b.run(sql::ingest_enqueue, Params(params).add("fast").add(0).add(3'600'000).add(std::nullopt).add(std::nullopt))
          .text(0, 0));
  const auto row = [&](const std::string& id) {
    return b.value(
        "SELECT concat_ws('|', queue, priority, max_attempts, payload, enqueued_by = session_user, "
        "scheduled_at > now() + interval '59 min') FROM {t} WHERE id = $1::uuid",
        Params{}.add(id));
  };
  CHECK(row(by_type) == "post|1|9|{}|t|f");
  CHECK(row(by_call) == "fast|0|9|{}|t|t");
  CHECK(b.hints(by_type) == "ready");
  CHECK(b.hints(by_call) == "parked:scheduled");
}

TEST_CASE("ingest: an idempotency key gives the first job again, also after that job has ended") {
  QueueBench b;
  add_key(b);
  const Rows first = b.run(sql::ingest_enqueue, request("mail", "order-1"));
  CHECK(first.boolean(0, 1));
  const std::string id(first.text(0, 0));
  const auto again = [&] { return b.run(sql::ingest_enqueue, request("mail", "order-1")); };
  CHECK(again().text(0, 0) == id);
  CHECK_FALSE(again().boolean(0, 1));
  b.exec("UPDATE {t} SET status = 'failed'");
  b.exec("UPDATE {t} SET status = 'completed'");
  CHECK(again().text(0, 0) == id);
  CHECK(b.count("{t}") == 1);
  CHECK(b.run(sql::ingest_enqueue, request("mail", "order-2")).text(0, 0) != id);
}

TEST_CASE("ingest: the same idempotency key of another API key is another's") {
  QueueBench b;
  add_key(b);
  const Rows first = b.run(sql::ingest_enqueue, request("mail", "order-1"));
  b.exec(
      "INSERT INTO rowcrew.api_key (name, key_hash, job_types) VALUES ('other', repeat('c', 64), "
      "'{*}')");
  b.exec("UPDATE rowcrew.api_key SET key_hash = repeat('d', 64) WHERE name = 'shop'");
  b.exec("UPDATE rowcrew.api_key SET key_hash = repeat('a', 64) WHERE name = 'other'");
  const Rows others = b.run(sql::ingest_enqueue, request("mail", "order-1"));
  CHECK(others.boolean(0, 1));
  CHECK(b.run(sql::ingest_enqueue, request("mail", "order-1")).text(0, 0) == others.text(0, 0));
  b.exec("UPDATE rowcrew.api_key SET key_hash = repeat('c', 64) WHERE name = 'other'");
  b.exec("UPDATE rowcrew.api_key SET key_hash = repeat('a', 64) WHERE name = 'shop'");
  CHECK(b.run(sql::ingest_enqueue, request("mail", "order-1")).text(0, 0) == first.text(0, 0));
  CHECK(b.count("{t}") == 2);
}

TEST_CASE("ingest: eight calls with one idempotency key at once make one job, and all name it") {
  QueueBench b("job_queue", 8);
  add_key(b);
  for (int round = 1; round <= 10; ++round) {
    std::set<std::string> ids;
    int created = 0;
    for (const Rows& rows :
         together(b, sql::ingest_enqueue, request("mail", "order-" + std::to_string(round)), 8)) {
      ids.insert(std::string(rows.text(0, 0)));
      created += rows.boolean(0, 1) ? 1 : 0;
    }
    CHECK(ids.size() == 1);
    CHECK(created == 1);
    CHECK(b.count("{t}") == round);
  }
  CHECK(b.number("SELECT count(*) FROM rowcrew.job_unique u JOIN {t} q ON q.id = u.job_id") == 10);
}

TEST_CASE("ingest: a call whose idempotency key is forgotten the moment it is met is to be repeated") {
  QueueBench b;
  add_key(b);
  b.run(sql::ingest_enqueue, request("mail", "a"));
  b.ddl(R"(CREATE FUNCTION rowcrew.expire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM rowcrew.job_unique; RETURN NULL; END $$;
           CREATE TRIGGER expire AFTER INSERT ON rowcrew.job_unique FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.expire())");
  CHECK(refusal_of(b, request("mail", "a")) == "40001");
}

TEST_CASE("ingest: a call whose forerunner was rolled back makes the job itself") {
  QueueBench b;
  add_key(b);
  HeldTransaction first(b.db,
                        "SELECT rowcrew.ingest_enqueue(repeat('a', 64), 'mail', '{}', 'order-1')");
  // The same key waits for the first one's outcome, and no longer than lock_timeout.
  CHECK(refusal_of(b, request("mail", "order-1")) == "55P03");
  first.roll_back();
  CHECK(b.run(sql::ingest_enqueue, request("mail", "order-1")).boolean(0, 1));
  CHECK(b.count("{t}") == 1);
}

TEST_CASE("ingest: idempotency keys are forgotten a week after their first use, by the page") {
  QueueBench b;
  add_key(b);
  for (const char* once : {"a", "b", "c"}) b.run(sql::ingest_enqueue, request("mail", once));
  b.run(sql::ingest_enqueue, request("mail", {}, "live"));
  CHECK(b.run(sql::node_expire_once_keys, Params{}.add(10)).affected() == 0);
  b.exec("UPDATE rowcrew.job_unique SET created_at = now() - interval '8 days' WHERE key <> 'a'");
  CHECK(b.run(sql::node_expire_once_keys, Params{}.add(1)).affected() == 1);
  CHECK(b.run(sql::node_expire_once_keys, Params{}.add(10)).affected() == 1);
  CHECK(b.value("SELECT string_agg(key, ' ' ORDER BY key) FROM rowcrew.job_unique") ==
        "a shop:live");
}

TEST_CASE("enqueue: eight calls with one unique key at once make one job") {
  QueueBench b("job_queue", 8);
  static constexpr Statement kEnqueue{
      "enqueue_unique", "SELECT rowcrew.enqueue('t', '{}', 'q', NULL, NULL, NULL, $1)"};
  for (int round = 1; round <= 10; ++round) {
    std::set<std::string> ids;
    for (const Rows& rows :
         together(b, kEnqueue, Params{}.add("key-" + std::to_string(round)), 8)) {
      ids.insert(std::string(rows.text(0, 0)));
    }
    CHECK(ids.size() == 1);
    CHECK(b.count("{t}") == round);
  }
}

TEST_CASE("enqueue: jobs of one statement are filed each at a time of its own, so that marks can pass them") {
  QueueBench b;
  b.insert(500);
  CHECK(b.number("SELECT count(DISTINCT run_at) FROM {ready}") > 250);
}

TEST_CASE("enqueue: without keys every call makes a job of its own") {
  QueueBench b;
  add_key(b);
  std::set<std::string> ids;
  for (int i = 0; i < 5; ++i)
    ids.insert(std::string(b.run(sql::ingest_enqueue, request("mail")).text(0, 0)));
  CHECK(ids.size() == 5);
  CHECK(b.count("rowcrew.job_unique") == 0);
}
