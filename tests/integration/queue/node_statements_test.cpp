// What nodes write about themselves and read about each other.
#include "beat_rows.hpp"
#include "held_transaction.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

Params identity(NodeIdentity node) {
  return Params{}.add(node.node_id).add(node.epoch);
}

NodeIdentity registered(QueueBench& b, std::int64_t epoch) {
  const std::vector<std::string> queues{"mail", "photo"};
  Params params;
  params.add(epoch).add(30'000).add("name").add("host").add(4711).add("0.1").add_array(queues).add_array(queues);
  return {b.run(sql::node_register, std::move(params)).integer(0, 0), epoch};
}

Ids watched(QueueBench& b, std::string_view what) { return told(beat(b, {1, 1}), what); }

}  // namespace

TEST_CASE("node: registers, beats, is watched, and leaves") {
  QueueBench b;
  const NodeIdentity node = registered(b, 5);
  CHECK(b.value(
            "SELECT concat_ws('|', epoch, beat, dead, lease_ms, name, host, pid, version, queues) "
            "FROM rowcrew.node") == "5|0|f|30000|name|host|4711|0.1|{mail,photo}");
  for (int i = 0; i < 2; ++i) CHECK(written(beat(b, node)));
  const Rows seen = beat(b, node);
  REQUIRE(seen.size() == 5);  // with a row each about the server, its clock, pauses and adopted tables
  const std::string clock = told(seen, "clock").at(0);
  CHECK(b.value("SELECT abs(" + clock + " - extract(epoch FROM rowcrew.clock_now()) * 1000000) < 60000000") == "t");
  CHECK(seen.integer(0, 0) == node.node_id);
  CHECK(seen.integer(0, 1) == 5);
  CHECK(seen.integer(0, 2) == 2);  // as it was before this one
  CHECK(seen.integer(0, 3) == 30'000);
  CHECK(seen.text(0, 4) == "{mail,photo}");
  b.run(sql::node_unregister, identity({node.node_id, 6}));
  CHECK(b.count("rowcrew.node") == 1);  // of another life
  b.run(sql::node_unregister, identity(node));
  CHECK(b.count("rowcrew.node") == 0);
  CHECK_FALSE(written(beat(b, node)));
}

TEST_CASE("node: beats for itself, and for no other life of it") {
  QueueBench b;
  const NodeIdentity node = registered(b, 5);
  registered(b, 5);
  CHECK(written(beat(b, node)));
  CHECK_FALSE(written(beat(b, {node.node_id, 6})));
  CHECK(b.value("SELECT string_agg(beat::text, ',' ORDER BY node_id) FROM rowcrew.node") == "1,0");
}

TEST_CASE("node: is declared dead only with the very beat that was watched") {
  QueueBench b;
  const NodeIdentity node = registered(b, 5);
  beat(b, node);
  const auto declare = [&](std::int64_t epoch, std::int64_t beat) {
    return b.run(sql::node_declare_dead, Params{}.add(node.node_id).add(epoch).add(beat)).size();
  };
  CHECK(declare(5, 0) == 0);
  CHECK(declare(5, 2) == 0);
  CHECK(declare(4, 1) == 0);
  CHECK(b.value("SELECT dead FROM rowcrew.node") == "f");
  CHECK(declare(5, 1) == 1);
  CHECK(b.value("SELECT dead FROM rowcrew.node") == "t");
  CHECK(declare(5, 1) == 0);  // somebody was first
}

TEST_CASE("node: a job that was filed behind a rule while that was removed keeps nodes looking for it") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const NodeIdentity node = registered(b, 5);
    const auto limits = [&] { return told(beat(b, node), "limits").size(); };
    b.exec("SELECT rowcrew.limit_set('one', p_running => 1)");
    HeldTransaction producer(b.db, b.named("INSERT INTO {t} ({type}, queue) VALUES ('t', 'mail')"));
    b.exec("SELECT rowcrew.limit_remove('one')");
    CHECK(limits() == 0);
    producer.commit();
    CHECK(limits() == 1);
    b.exec("UPDATE {limited} SET queue = 'elsewhere'");
    CHECK(limits() == 0);  // others look there
  }
}

TEST_CASE("node: a look tells in which of its queues rules may be about a job, and that there are rules of others") {
  QueueBench b;
  const NodeIdentity node = registered(b, 5);
  const auto limits = [&] {
    Ids found = told(beat(b, node), "limits");
    std::sort(found.begin(), found.end());
    return found;
  };
  CHECK(limits().empty());
  b.exec("SELECT rowcrew.limit_set('others', p_queue => 'elsewhere', p_running => 1)");
  CHECK(limits() == Ids{""});  // who leads forgets the keys of all
  b.exec("SELECT rowcrew.limit_set('one', p_queue => 'photo', p_running => 1)");
  CHECK(limits() == Ids{"", "photo"});
  b.exec("SELECT rowcrew.limit_set('all', p_running => 1)");
  CHECK(limits() == Ids{"", "mail", "photo"});
}

TEST_CASE("node: a look tells of cancels and its own commands, and of what has changed") {
  QueueBench b;
  CHECK(watched(b, "limits").empty());
  CHECK(watched(b, "cancels").empty());
  const Ids none = watched(b, "pauses");
  b.exec("SELECT rowcrew.limit_set('one', p_queue => 'photo', p_running => 1)");
  b.exec("SELECT rowcrew.pause('tenant', 'acme')");
  b.exec("INSERT INTO rowcrew.cancel_request (job_table, job_id, requested_by) VALUES ('job_queue', rowcrew.uuid7(), 'me')");
  CHECK(watched(b, "cancels").size() == 1);
  CHECK(watched(b, "pauses") != none);
  b.exec("INSERT INTO rowcrew.node_command (node_id, command, argument) VALUES (2, 'log_level', '{}')");
  CHECK(watched(b, "commands").empty());  // another node's
  b.exec("UPDATE rowcrew.node_command SET node_id = 1");
  CHECK(watched(b, "commands").size() == 1);
}

TEST_CASE("node: the dead do not beat, and are watched no more") {
  QueueBench b;
  const NodeIdentity node = registered(b, 5);
  b.kill(node);
  CHECK_FALSE(written(beat(b, node)));
  CHECK(b.value("SELECT beat FROM rowcrew.node") == "0");
  CHECK(beat(b, node).size() == 2);  // none of a node
}

TEST_CASE("node: the dead are kept for a day to look at, the living for ever") {
  QueueBench b;
  const NodeIdentity fresh = registered(b, 1);
  registered(b, 2);
  const NodeIdentity old = registered(b, 3);
  b.kill(fresh);
  b.kill(old);
  b.exec("UPDATE rowcrew.node SET last_seen = now() - interval '25 hours' WHERE epoch > 1");
  CHECK(b.run(sql::node_forget_dead).affected() == 1);
  CHECK(b.value("SELECT string_agg(epoch::text, ' ' ORDER BY epoch) FROM rowcrew.node") == "1 2");
}

TEST_CASE("node: statistics are added to what the minute has") {
  QueueBench b;
  const std::vector<std::int64_t> minutes{1'767'268'800, 1'767'268'800};
  const std::vector<std::string> tables{"job_queue", "processing_jobs"};
  const std::vector<std::string> types{"mail", "photo"};
  Params params;
  params.add(7).add_array(minutes).add_array(tables).add_array(types);
  for (std::int64_t column = 1; column <= 8; ++column) {
    params.add_array(std::vector<std::int64_t>{column, 10 * column});
  }
  params.add_array(std::vector<std::int64_t>{INT64_C(5'000'000'000), 1})
      .add_array(std::vector<std::int64_t>{90, 1});
  b.run(sql::node_add_stats, params);
  b.run(sql::node_add_stats, params);
  const char* row =
      "SELECT concat_ws('|', minute, job_type, started, completed, failed, retried, snoozed, "
      "cancelled, "
      "released, claim_lost, run_ms, run_ms_max) FROM rowcrew.node_stat WHERE node_id = 7 AND "
      "job_table = $1";
  CHECK(b.value(row, Params{}.add("job_queue")) ==
        "2026-01-01 12:00:00+00|mail|2|4|6|8|10|12|14|16|10000000000|90");
  CHECK(b.value(row, Params{}.add("processing_jobs")) ==
        "2026-01-01 12:00:00+00|photo|20|40|60|80|100|120|140|160|2|1");
}

TEST_CASE("node: reads policies, paused queues and the clock") {
  QueueBench b;
  CHECK(b.run(sql::node_job_types).empty());
  b.exec(
      "INSERT INTO rowcrew.job_type (name, timeout_ms, backoff_base_ms, backoff_cap_ms) "
      "VALUES ('mail', 1000, 10, 20)");
  b.exec("INSERT INTO rowcrew.queue (name, paused) VALUES ('mail', true), ('photo', false)");
  const Rows types = b.run(sql::node_job_types);
  REQUIRE(types.size() == 1);
  CHECK(types.text(0, 0) == "mail");
  CHECK(types.integer(0, 1) == 1'000);
  CHECK(types.integer(0, 2) == 10);
  CHECK(types.integer(0, 3) == 20);
  CHECK(watched(b, "paused") == Ids{"mail"});

  const std::int64_t before = b.run(sql::node_clock).integer(0, 0);
  b.ddl("SELECT rowcrew.set_clock_offset('1 hour')");
  const std::int64_t after = b.run(sql::node_clock).integer(0, 0);
  CHECK(after - before >= 3'600'000);
  CHECK(after - before < 3'660'000);
}

TEST_CASE("installation: a copy of a database is not home until it is taken over") {
  QueueBench b;
  CHECK(b.run(sql::node_schema_present).boolean(0, 0));
  Rows found = b.run(sql::node_installation);
  REQUIRE(found.size() == 1);
  CHECK(found.integer(0, 1) > 0);
  CHECK(found.integer(0, 2) > 0);
  CHECK(found.boolean(0, 3));
  const std::string id(found.text(0, 0));
  const NodeIdentity node = registered(b, 5);

  b.ddl("UPDATE rowcrew.meta SET home_database = 1");
  CHECK_FALSE(b.run(sql::node_installation).boolean(0, 3));
  b.exec("SELECT rowcrew.takeover()");
  found = b.run(sql::node_installation);
  CHECK(found.boolean(0, 3));
  CHECK(found.text(0, 0) != id);
  CHECK_FALSE(written(beat(b, node)));  // the original's nodes are dead here

  // A copy by logical replication has the rows, and sequences that begin anew.
  b.ddl("ALTER SEQUENCE rowcrew.node_node_id_seq RESTART WITH 1");
  b.exec("SELECT rowcrew.takeover()");
  CHECK(b.node(12).node_id > node.node_id);

  // Where the server does not tell its identifier, the database alone decides.
  b.exec("UPDATE rowcrew.meta SET home_system = NULL");
  CHECK(b.run(sql::node_installation).boolean(0, 3));
  b.exec("UPDATE rowcrew.meta SET home_system = 1");
  const bool readable = b.value("SELECT rowcrew.system_identifier() IS NOT NULL") == "t";
  CHECK(b.run(sql::node_installation).boolean(0, 3) == !readable);
}

TEST_CASE("installation: an empty database says that nothing is there") {
  const TempDatabase empty(TempDatabase::Content::empty);
  LogCapture log;
  boost::asio::io_context io{1};
  Pool pool(empty.options(), log);
  CHECK_FALSE(testing::run(io, pool.query(sql::node_schema_present, Params{})).boolean(0, 0));
}
