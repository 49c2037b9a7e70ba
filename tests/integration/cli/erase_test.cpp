// Erasing what is known of a person.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli_bench.hpp"
#include "integration/queue/held_transaction.hpp"

namespace rowcrew::testing {
namespace {

using nlohmann::json;

/// Ended and live jobs, mails and archived rows of anna and of bert.
struct Ward {
  Ward() : cli(db.url()) {
    for (const char* who : {"anna", "bert"}) {
      db.exec(std::string("SET rowcrew.who = '") + who + "';" + kFill);
    }
  }
  json erased(std::vector<std::string> options) {
    options.insert(options.begin(), {"erase", "--json"});
    code = cli.run(options);
    return code <= 1 ? json::parse(cli.out()) : json();
  }
  /// How many rows of ours name this person anywhere.
  std::string rows_of(const std::string& who) {
    return db.value(
        "SELECT concat_ws(' ', (SELECT count(*) FROM rowcrew.job_queue q WHERE q::text ~ $1), (SELECT count(*) FROM rowcrew.processing_jobs q "
        "WHERE q::text ~ $1), (SELECT count(*) FROM rowcrew.email_notifications e WHERE e::text ~ $1), (SELECT count(*) FROM rowcrew.archive a "
        "WHERE a::text ~ $1), (SELECT count(*) FROM rowcrew.job_attempt t WHERE t::text ~ $1), (SELECT count(*) FROM rowcrew.audit_logs l WHERE "
        "l::text ~ $1))",
        Params{}.add(who));
  }

  static constexpr const char* kFill = R"(
    WITH w AS (SELECT current_setting('rowcrew.who') AS who), j AS (
      INSERT INTO rowcrew.job_queue (job_type, payload, status, tenant, result, error_message, unique_key, completed_at)
      SELECT 'email', jsonb_build_object('to', who || '@mail.example', 'user', jsonb_build_object('id', who)), s, who, to_jsonb(who), 'of ' || who,
             who || s, CASE WHEN s IN ('pending') THEN NULL ELSE now() END
      FROM w, unnest(ARRAY['completed', 'failed', 'cancelled', 'pending']) s RETURNING id, status)
    INSERT INTO rowcrew.email_notifications (job_id, account, recipient, status, sent_at)
    SELECT id, who, who || '@mail.example', 'sent', now() FROM j, w WHERE status = 'completed';
    INSERT INTO rowcrew.processing_jobs (type, prompt, inputs, outputs, status, tenant, cost_micros, completed_at)
    SELECT 'generation', 'a picture of ' || w, jsonb_build_object('user', jsonb_build_object('id', w)), to_jsonb(w), 'completed', NULL, 500, now()
    FROM current_setting('rowcrew.who') w;
    INSERT INTO rowcrew.job_attempt (job_table, job_id, job_type, attempt, outcome, error_message)
    SELECT 'job_queue', id, job_type, 1, 'failed', error_message FROM rowcrew.job_queue
    WHERE status = 'failed' AND tenant = current_setting('rowcrew.who');
    INSERT INTO rowcrew.archive (policy, source, id, row) SELECT 'jobs', 'job_queue', q.id::text, to_jsonb(q) FROM rowcrew.job_queue q
    WHERE status = 'completed' AND tenant = current_setting('rowcrew.who');
    INSERT INTO rowcrew.archive (policy, source, id, row, archived_at) SELECT 'emails', 'email_notifications', e.job_id::text, to_jsonb(e), now() - interval '1 year'
    FROM rowcrew.email_notifications e WHERE account = current_setting('rowcrew.who'))";

  TempDatabase db;
  CliBench cli;
  int code = 0;
};

}  // namespace

TEST_CASE("erase: nothing of ours names the person any more but what has not ended, and nobody else loses anything") {
  Ward ward;
  const std::string others = ward.rows_of("bert");
  CHECK(ward.rows_of("anna") == "4 1 1 2 1 0");
  const std::vector<std::string> whose = {"--tenant", "anna", "--payload", R"({"user":{"id":"anna"}})", "--address", "anna@mail.example", "--reason", "request 17"};
  auto asked = whose;
  asked.push_back("--preview");
  CHECK(ward.erased(asked) == json::parse(R"({"jobs":4,"mails":1,"archived":2,"live":1,"skipped":0,"preview":true})"));
  CHECK(ward.code == 0);
  CHECK(ward.rows_of("anna") == "4 1 1 2 1 0");

  const json done = ward.erased(whose);
  CHECK(done["jobs"] == 4);
  CHECK(done["archived"] == 2);
  CHECK(done["live"] == 1);
  CHECK(ward.code == 1);  // there is something left to do
  CHECK(ward.rows_of("anna") == "1 0 0 0 0 0");
  CHECK(ward.rows_of("bert") == others);

  CHECK(ward.cli.run({"cancel", "--tenant", "anna"}) == 0);
  CHECK(ward.erased(whose)["jobs"] == 1);
  CHECK(ward.code == 0);
  CHECK(ward.rows_of("anna") == "0 0 0 0 0 1");  // the filter of that cancel, in the audit log
  CHECK(ward.erased(whose)["jobs"] == 0);
  CHECK(ward.db.value("SELECT string_agg(concat_ws(' ', metadata ->> 'reason', metadata ->> 'jobs', metadata ->> 'archived'), ', ' ORDER BY id) "
                      "FROM rowcrew.audit_logs WHERE action = 'person.erase'") == "request 17 4 2, request 17 1 0, request 17 0 0");
}

TEST_CASE("erase: what is counted and paid for stays") {
  Ward ward;
  ward.erased({"--payload", R"({"user":{"id":"anna"}})"});
  CHECK(ward.db.value("SELECT concat_ws(' ', type, status, cost_micros, inputs, completed_at IS NOT NULL) FROM rowcrew.processing_jobs "
                      "WHERE prompt IS NULL") == R"(generation completed 500 {"erased": true} t)");
  CHECK(ward.db.value("SELECT string_agg(status, ' ' ORDER BY status) FROM rowcrew.job_queue WHERE payload ? 'erased'") ==
        "cancelled completed failed");
}

TEST_CASE("erase: a scope that would mean everybody is refused with its field, and leaves no trace") {
  Ward ward;
  for (const char* part : {"{}", "[]", "7", "null", R"({"user":{}})", R"({"user":{"id":[]}})", R"({"user":null})"}) {
    CAPTURE(part);
    CHECK(ward.cli.run({"erase", "--payload", part}) == 64);
    CHECK(ward.cli.err().find("scope.payload") != std::string::npos);
  }
  CHECK(ward.cli.run({"erase", "--payload", "{"}) == 64);
  CHECK(ward.cli.run({"erase", "--tenant", ""}) == 64);
  CHECK(ward.cli.run({"erase"}) == 64);
  CHECK(ward.db.value("SELECT count(*) FROM rowcrew.audit_logs WHERE action = 'person.erase'") == "0");
}

TEST_CASE("erase: goes through tables of many pages, and leaves to the next time what somebody holds") {
  Ward ward;
  ward.db.exec("INSERT INTO rowcrew.job_queue (job_type, status, completed_at, tenant) SELECT 't', 'completed', now(), CASE n % 3 WHEN 0 THEN 'carl' END "
               "FROM generate_series(1, 12000) n;"
               "INSERT INTO rowcrew.archive (policy, source, id, row) SELECT 'jobs', 'job_queue', n::text, jsonb_build_object('tenant', CASE n % 3 WHEN 0 "
               "THEN 'carl' END, 'payload', repeat('x', 500)) FROM generate_series(1, 6000) n");
  {
    HeldTransaction held(ward.db, "SELECT 1 FROM rowcrew.job_queue WHERE id = (SELECT id FROM rowcrew.job_queue WHERE tenant = 'carl' ORDER BY id LIMIT 1) FOR UPDATE");
    const json done = ward.erased({"--tenant", "carl"});
    CHECK(done["jobs"] == 3999);
    CHECK(done["archived"] == 2000);
    CHECK(done["skipped"] == 1);
    CHECK(ward.code == 1);
    held.commit();
  }
  CHECK(ward.erased({"--tenant", "carl"})["jobs"] == 1);
  CHECK(ward.code == 0);
}

TEST_CASE("erase: operators may, viewers and nodes may not" * with_roles()) {
  Ward ward;
  const LoginRole viewer(ward.db, "rowcrew_viewer");
  const LoginRole node(ward.db, "rowcrew_worker");
  for (const auto* role : {&viewer, &node}) CHECK(role->failure("SELECT rowcrew.erase_begin('{\"tenant\": \"anna\"}')") == "42501");
  const LoginRole operators(ward.db, "rowcrew_operator");
  CliBench cli(operators.url());
  CHECK(cli.run({"erase", "--tenant", "anna", "--preview"}) == 0);
  CHECK(cli.out() == "would erase 3 jobs, 1 mails, 2 archived rows\n1 jobs have not ended: cancel them or wait, then erase again\n");
}

}  // namespace rowcrew::testing
