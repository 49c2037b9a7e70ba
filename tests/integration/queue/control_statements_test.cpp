// Commands from operators to nodes, and their acknowledgements.
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

std::int64_t issue(QueueBench& b, std::optional<std::string> node_id,
                   std::int64_t lifetime_ms = 60'000) {
  Params params;
  params.add("tail").add(R"({"level": "info"})").add(node_id).add(lifetime_ms);
  return b.run(sql::control_issue, std::move(params)).integer(0, 0);
}

std::vector<std::int64_t> pending(QueueBench& b, std::int64_t node_id) {
  const Rows rows = b.run(sql::control_pending, Params{}.add(node_id));
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < rows.size(); ++i) ids.push_back(rows.integer(i, 0));
  return ids;
}

void acknowledge(QueueBench& b, std::int64_t command, std::int64_t node_id,
                 const char* answer = "ok") {
  b.run(sql::control_acknowledge, Params{}.add(command).add(node_id).add(answer));
}

using Commands = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("control: a command for all reaches every node, one for a node only that one") {
  QueueBench b;
  const std::int64_t for_all = issue(b, std::nullopt);
  const std::int64_t for_two = issue(b, "2");
  CHECK(pending(b, 1) == Commands{for_all});
  CHECK(pending(b, 2) == Commands{for_all, for_two});
  const Rows rows = b.run(sql::control_pending, Params{}.add(1));
  CHECK(rows.text(0, 1) == "tail");
  CHECK(rows.text(0, 2) == R"({"level": "info"})");
  CHECK(rows.integer(0, 3) <= 60'000);
  CHECK(rows.integer(0, 3) > 50'000);
}

TEST_CASE("control: an acknowledged command is not carried out again by that node") {
  QueueBench b;
  const std::int64_t command = issue(b, std::nullopt);
  acknowledge(b, command, 1);
  acknowledge(b, command, 1, "twice");
  CHECK(pending(b, 1).empty());
  CHECK(pending(b, 2) == Commands{command});
}

TEST_CASE("control: an expired command is not carried out") {
  QueueBench b;
  issue(b, std::nullopt, 1'000);
  CHECK(pending(b, 1).size() == 1);
  b.ddl("SELECT rowcrew.set_clock_offset('2 s')");
  CHECK(pending(b, 1).empty());
}

TEST_CASE("control: who has answered is listed by name, also when that node has left") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const std::int64_t command = issue(b, std::nullopt);
  CHECK(b.run(sql::control_acks, Params{}.add(command)).empty());
  acknowledge(b, command, node.node_id, "ok");
  acknowledge(b, command, 999, "level: not known");
  const Rows acks = b.run(sql::control_acks, Params{}.add(command));
  REQUIRE(acks.size() == 2);
  CHECK(acks.text(0, 0) == "node");
  CHECK(acks.text(0, 1) == "ok");
  CHECK(acks.is_null(1, 0));
  CHECK(acks.text(1, 1) == "level: not known");
}

TEST_CASE("control: commands are forgotten a day after they expired, with their answers") {
  QueueBench b;
  const std::int64_t old = issue(b, std::nullopt);
  const std::int64_t fresh = issue(b, std::nullopt);
  acknowledge(b, old, 1);
  acknowledge(b, fresh, 1);
  b.query(
      "UPDATE rowcrew.node_command SET expires_at = now() - interval '25 hours' "
      "WHERE command_id = $1::bigint",
      Params{}.add(old));
  CHECK(b.run(sql::control_forget, Params{}.add(10)).affected() == 1);
  CHECK(b.count("rowcrew.node_command") == 1);
  CHECK(b.count("rowcrew.node_command_ack") == 1);
}
