// rowcrew tail against a node that the test plays.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "cli_bench.hpp"

namespace rowcrew::testing {
namespace {

/// Looks until the value is not empty; the server waits between two looks.
std::string await_value(const TempDatabase& db, const std::string& expression) {
  for (int look = 0; look < 500; ++look) {
    std::string found =
        db.value("SELECT coalesce((" + expression + ")::text, '') FROM pg_sleep(0.02)");
    if (!found.empty()) return found;
  }
  return {};
}

void add_node(const TempDatabase& db, const std::string& name) {
  db.query(
      "INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues)"
      " VALUES (1, 30000, $1, 'alpha', 7, '0.1.0', '{}')",
      Params{}.add(name));
}

void publish(const TempDatabase& db, const std::string& node, const std::string& level,
             const std::string& event) {
  const nlohmann::json line = {{"level", level}, {"node", node}, {"event", event}};
  db.query("SELECT pg_notify('rowcrew_tail', $1)", Params{}.add(line.dump() + "\n"));
}

constexpr const char* kAcknowledge =
    "INSERT INTO rowcrew.node_command_ack (command_id, node_id)"
    " SELECT c.command_id, n.node_id FROM rowcrew.node_command c, rowcrew.node n"
    " WHERE n.name = 'gen-1' ON CONFLICT DO NOTHING";

}  // namespace

TEST_CASE("tail asks the nodes, says who follows, and prints what they send" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  add_node(db, "gen-1");
  std::string command;
  CliBench cli(operators.url());
  std::thread node([&] {
    command = await_value(db, "SELECT to_jsonb(c) FROM rowcrew.node_command c LIMIT 1");
    db.exec(kAcknowledge);
    publish(db, "gen-1", "debug", "too.quiet");
    publish(db, "gen-1", "info", "job.started");
    cli.err_text.await("following");
    CliBench::interrupt_after(cli.out_text, "job.started");
  });
  CHECK(cli.run({"tail"}) == 0);
  node.join();
  CHECK(cli.out() == "info gen-1 job.started\n");
  CHECK(cli.err() == "tail: following gen-1\n");
  const auto issued = nlohmann::json::parse(command);
  CHECK(issued["command"] == "tail");
  CHECK(issued["argument"]["level"] == "info");
  CHECK(issued["argument"]["id"].get<std::string>().size() == 16);
  CHECK(issued["node_id"].is_null());
  CHECK(db.value(
            "SELECT expires_at - issued_at BETWEEN '29 s' AND '31 s' FROM rowcrew.node_command") ==
        "t");
}

TEST_CASE("a tail that may not ask the nodes says so instead of waiting for lines that never come" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewers(db, "rowcrew_viewer");
  CliBench cli(viewers.url());
  CHECK(cli.run({"tail", "--for", "1m"}) == 1);
  CHECK(cli.err().find("permission denied for table node_command") != std::string::npos);
}

TEST_CASE("tail of one node asks that one and prints no other's lines") {
  const TempDatabase db;
  add_node(db, "gen-1");
  add_node(db, "mail-1");
  CliBench cli(db.url());
  std::thread node([&] {
    await_value(db, "SELECT node_id FROM rowcrew.node_command LIMIT 1");
    db.exec(kAcknowledge);
    publish(db, "mail-1", "error", "not.asked");
    publish(db, "gen-1", "error", "job.failed");
    CliBench::interrupt_after(cli.out_text, "job.failed");
  });
  CHECK(cli.run({"tail", "--for", "1m", "--node", "gen-1", "--json"}) == 0);
  node.join();
  CHECK(nlohmann::json::parse(cli.out())["event"] == "job.failed");
  CHECK(db.value("SELECT n.name FROM rowcrew.node_command c JOIN rowcrew.node n USING (node_id)") ==
        "gen-1");
}

TEST_CASE("tail ends by itself after its span") {
  const TempDatabase db;
  CliBench cli(db.url());
  CHECK(cli.run({"tail", "--for", "100ms"}) == 0);
  CHECK(cli.out().empty());
}

TEST_CASE("a node that is not there is told at once, with those that are") {
  const TempDatabase db;
  add_node(db, "gen-1");
  CliBench cli(db.url());
  CHECK(cli.run({"tail", "--node", "gen-2"}) == 1);
  CHECK(cli.err().find("expected one of: gen-1") != std::string::npos);
}

TEST_CASE("after five seconds of silence tail says that nobody answers") {
  const TempDatabase db;
  CliBench cli(db.url());
  std::thread person(
      [&] { CliBench::interrupt_after(cli.err_text, "no node has answered within 5s"); });
  CHECK(cli.run({"tail", "--for", "1m"}) == 0);
  person.join();
  CHECK(cli.err() == "tail: no node has answered within 5s: is any running? (rowcrew status)\n");
}

TEST_CASE("a tail that loses its connection listens again") {
  const TempDatabase db;
  add_node(db, "gen-1");
  CliBench cli(db.url());
  std::thread node([&] {
    await_value(db, "SELECT command_id FROM rowcrew.node_command LIMIT 1");
    const std::string listeners =
        "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rowcrew'"
        " AND pid <> pg_backend_pid() AND query LIKE '%LISTEN%'";
    const std::string old = await_value(db, "SELECT pid " + listeners + " LIMIT 1");
    db.exec("SELECT pg_terminate_backend(" + old + ")");
    await_value(db,
                "SELECT pid " + listeners + " AND pid <> " + old + " AND state = 'idle' LIMIT 1");
    publish(db, "gen-1", "info", "after.loss");
    CliBench::interrupt_after(cli.out_text, "after.loss");
  });
  CHECK(cli.run({"tail", "--for", "1m"}) == 0);
  node.join();
  CHECK(cli.out() == "info gen-1 after.loss\n");
}

}  // namespace rowcrew::testing
