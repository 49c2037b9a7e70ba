// rowcrew spend, called as main() calls it, by a viewer.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli_bench.hpp"

namespace rowcrew::testing {
namespace {

using nlohmann::json;

void book(const TempDatabase& db, const std::string& at, const std::string& provider, const std::string& model, const std::string& cost,
          const std::string& outcome = "done", bool estimated = false) {
  db.exec("INSERT INTO rowcrew.provider_call (at, job_table, job_id, job_type, attempt, provider, model, outcome, cost_micros, estimated) VALUES (" + at +
          ", 'job_queue', gen_random_uuid(), 'text', 1, '" + provider + "', '" + model + "', '" + outcome + "', " + cost + ", " + (estimated ? "true" : "false") + ")");
}

const std::string kToday = "date_trunc('day', now(), 'UTC')";

}  // namespace

TEST_CASE("spend: a row by day, provider and model, and a total behind them" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  CHECK(cli.run({"spend"}) == 0);
  CHECK(cli.out() == "nothing was spent in these days\n");
  const std::string day = db.value("SELECT to_char(" + kToday + " AT TIME ZONE 'UTC', 'YYYY-MM-DD')");
  const std::string before = db.value("SELECT to_char((" + kToday + " - interval '24 hours') AT TIME ZONE 'UTC', 'YYYY-MM-DD')");
  book(db, kToday, "openai", "mini", "1200000");
  book(db, kToday + " + interval '1 s'", "openai", "mini", "34", "blocked");
  book(db, kToday, "anthropic", "haiku", "5", "lost", true);
  book(db, kToday + " - interval '1 ms'", "openai", "mini", "7");
  book(db, kToday + " - interval '24 hours 1 ms'", "openai", "mini", "1000000000");
  CHECK(cli.run({"spend", "--days", "2"}) == 0);
  CHECK(cli.out() == "DAY         PROVIDER   MODEL  CALLS  IN VAIN       COST\n" +
                     day + "  anthropic  haiku      1        1  ~0.000005\n" +
                     day + "  openai     mini       2        1   1.200034\n" +
                     before + "  openai     mini       1        0   0.000007\n"
                     "total                             4        2  ~1.200046\n");
  CHECK(cli.run({"spend", "--days", "1", "--json"}) == 0);
  std::vector<json> lines;
  std::istringstream text(cli.out());
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  REQUIRE(lines.size() == 2);
  CHECK(lines[1] == json{{"day", day}, {"provider", "openai"}, {"model", "mini"}, {"calls", 2}, {"in_vain", 1}, {"cost_micros", 1200034}, {"estimated", false}});
  CHECK(cli.run({"spend", "--days", "0"}) == 64);
  CHECK(cli.run({"spend"}) == 0);
  CHECK(cli.out().find("1000.000000") != std::string::npos);
}

TEST_CASE("spend: a budget tells what of it is spent today" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  db.exec("INSERT INTO rowcrew.provider_budget (provider, day_micros) VALUES ('openai', 5000000), ('anthropic', 0)");
  book(db, "now()", "openai", "mini", "1250000");
  book(db, kToday + " - interval '1 ms'", "openai", "mini", "9000000");
  CHECK(cli.run({"spend"}) == 0);
  CHECK(cli.out().find("\n\nanthropic: 0.000000 of 0.000000 spent today\nopenai: 1.250000 of 5.000000 spent today\n") != std::string::npos);
}

TEST_CASE("spend: days are those of UTC, whatever zone the session is in") {
  const TempDatabase db;
  book(db, kToday + " + interval '1 s'", "openai", "mini", "1");
  for (const char* zone : {"America/New_York", "Pacific/Kiritimati"}) {
    CAPTURE(zone);
    CHECK_NOTHROW(db.exec("SET timezone = '" + std::string(zone) + "'; DO $$ BEGIN ASSERT (SELECT day = (now() AT TIME ZONE 'UTC')::date FROM rowcrew.spend); END $$"));
  }
}

}  // namespace rowcrew::testing
