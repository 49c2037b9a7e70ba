// Looking through jobs, and through the keys of a limit.
#include <nlohmann/json.hpp>

#include "limits_bench.hpp"
#include "queue_bench.hpp"
#include "sql_queries.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

/// The names of the jobs listed.
Ids list(QueueBench& b, const std::string& filter, int limit = 20) {
  const Rows rows = b.run(sql::cli_jobs, Params{}.add(filter).add(limit));
  Ids found;
  for (std::size_t row = 0; row < rows.size(); ++row) found.emplace_back(rows.text(row, 0));
  return found;
}

/// "KEY running room waiting", joined by commas.
std::string keys(QueueBench& b, const std::string& name) {
  const Rows rows = b.run(sql::cli_limit_keys, Params{}.add(name));
  std::string out;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (row > 0) out += ", ";
    for (std::size_t column = 0; column < 4; ++column) out += (column > 0 ? " " : "") + std::string(rows.text(row, column));
  }
  return out;
}

}  // namespace

TEST_CASE("jobs: the newest of both tables come first, by status, type, queue, tenant, error and time") {
  QueueBench b;
  const NodeIdentity node = b.node();
  const auto insert = [&](int number, const std::string& columns, const std::string& values) {  // ids of one millisecond are in no order
    return b.value("INSERT INTO {t} (id, {type}, queue, " + columns + ") VALUES ('00000000-0000-7000-8000-00000000000" + std::to_string(number) + "', 't', 'q', " + values + ") RETURNING id");
  };
  const Ids waiting = {insert(1, "tenant", "'acme'"), insert(2, "tenant", "'acme'"), insert(3, "tenant", "'acme'")};
  const std::string later = insert(4, "status, attempts, scheduled_at, error_code, error_message", "'retrying', 1, now() + interval '1 h', 'http_503', 'busy'");
  const std::string failed = insert(5, "status, error_code, error_message, completed_at", "'failed', 'http_500', repeat('e', 500), now()");
  const std::string other = b.value("INSERT INTO rowcrew.processing_jobs (type, queue) VALUES ('gen', 'q') RETURNING id");
  CHECK(list(b, "{}") == Ids{other, failed, later, waiting[2], waiting[1], waiting[0]});
  CHECK(list(b, "{}", 2) == Ids{other, failed});
  CHECK(list(b, R"({"status": "failed"})") == Ids{failed});
  CHECK(list(b, R"({"status": "waiting", "type": "t"})") == Ids{later, waiting[2], waiting[1], waiting[0]});
  CHECK(list(b, R"({"status": "retrying"})") == Ids{later});
  CHECK(list(b, R"({"tenant": "acme", "queue": "q"})").size() == 3);
  CHECK(list(b, R"({"error_code": "http_500"})") == Ids{failed});
  CHECK(list(b, R"({"created_before": "2020-01-01T00:00:00Z"})").empty());
  REQUIRE(b.claim(node, 1).size() == 1);
  CHECK(list(b, R"({"status": "processing"})") == Ids{waiting[0]});

  const Rows rows = b.run(sql::cli_jobs, Params{}.add(R"({"status": "failed"})").add(20));
  CHECK(rows.text(0, 7) == "http_500: " + std::string(77, 'e') + "...");
  CHECK(nlohmann::json::parse(rows.text(0, 8)).at("error_message") == std::string(500, 'e'));
  CHECK_THROWS_WITH_AS(list(b, R"({"status": "faild"})"), doctest::Contains("filter.status: 'faild', expected one of pending"), DbError);
  CHECK_THROWS_WITH_AS(list(b, R"({"stat": "x"})"), doctest::Contains("filter.stat"), DbError);
  CHECK_THROWS_WITH_AS(list(b, "{}", 0), doctest::Contains("limit: "), DbError);
}

TEST_CASE("jobs: of an adopted table are named as the commands take them, with the states of the fleet") {
  QueueBench b;
  b.adopt_like_job_queue();
  const NodeIdentity node = b.node();
  const auto insert_one = [&](const char* id) {
    b.exec(std::string("INSERT INTO {t} (id, job_type, queue) VALUES ('") + id + "', 't', 'q')");
  };
  insert_one("00000000-0000-0000-0000-000000000001");
  insert_one("00000000-0000-0000-0000-000000000002");
  const std::string name = b.value("SELECT name || ':00000000-0000-0000-0000-00000000000' FROM rowcrew.adopted_table");
  const std::string table = b.value("SELECT json_build_object('table', name) FROM rowcrew.adopted_table");
  CHECK(list(b, table) == Ids{name + "2", name + "1"});
  const auto claimed = b.claim(node, 1);
  REQUIRE(claimed.size() == 1);
  const auto with_status = [&](const char* status) { return b.value(std::string("SELECT json_build_object('table', name, 'status', '") + status + "') FROM rowcrew.adopted_table"); };
  CHECK(list(b, with_status("processing")) == Ids{name + "1"});
  CHECK(list(b, with_status("waiting")) == Ids{name + "2"});
  b.end(claimed, Failed("broken", "for good"));
  CHECK(list(b, with_status("failed")) == Ids{name + "1"});
  CHECK(list(b, with_status("completed")).empty());
  CHECK_THROWS_WITH_AS(list(b, R"({"table": "nobody"})"), doctest::Contains("filter.table: 'nobody'"), DbError);
}

TEST_CASE("limit keys: how many run of each key, how many more may, and how many wait, the fullest first") {
  LimitsBench b;
  const NodeIdentity node = b.node();
  b.set("per", "p_queue => 'q', p_by => 'tenant', p_running => 2");
  b.set("rate", "p_queue => 'q', p_units => 10, p_per => '1 hour'");
  b.set("bucket", "p_queue => 'q', p_units => 1, p_per => '1 hour', p_burst => 20");
  b.set("lane", "p_queue => 'q'");
  CHECK(keys(b, "per").empty());
  b.insert(5, "tenant", "'acme'");
  b.insert(1, "tenant", "'bolt'");
  CHECK(keys(b, "per") == "per:acme 0 2 5, per:bolt 0 2 1");
  CHECK(keys(b, "lane") == "lane   6");
  REQUIRE(b.take(node, 10).jobs.size() == 3);
  CHECK(keys(b, "per") == "per:acme 2 0 3, per:bolt 1 1 0");
  CHECK(keys(b, "rate") == "rate  7 3");
  CHECK(keys(b, "bucket") == "bucket  17 3");
  b.exec("SELECT rowcrew.pause('key', 'per:acme')");
  const Rows rows = b.run(sql::cli_limit_keys, Params{}.add("per"));
  CHECK(rows.text(0, 4) == "it is resumed");
  CHECK(rows.text(1, 4).empty());
  CHECK_THROWS_WITH_AS(keys(b, "pre"), doctest::Contains("name: 'pre', expected a limit: bucket, lane, per, rate"), DbError);
}
