// What rowcrew.budget_left tells of a provider's day.
#include <doctest/doctest.h>

#include <string>

#include "support/db/temp_database.hpp"

namespace rowcrew::testing {
namespace {

const std::string kToday = "date_trunc('day', now(), 'UTC')";

void book(const TempDatabase& db, const std::string& at, const std::string& provider, const std::string& cost) {
  db.exec("INSERT INTO rowcrew.provider_call (at, job_table, job_id, job_type, attempt, provider, outcome, cost_micros) VALUES (" + at +
          ", 'job_queue', gen_random_uuid(), 'text', 1, '" + provider + "', 'done', " + cost + ")");
}

/// "day|spent|whether to wait|news".
std::string left(const TempDatabase& db, const std::string& provider) {
  const std::string job = db.value("INSERT INTO rowcrew.job_queue (job_type) VALUES ('text') RETURNING id");
  return db.value("SELECT concat_ws('|', day_micros, spent_micros, wait_ms > 0, news) FROM rowcrew.budget_left($1, 'job_queue', $2, 'text')",
                  Params{}.add(provider).add(job));
}

std::string events(const TempDatabase& db) { return db.value("SELECT string_agg(event, ' ' ORDER BY event_id) FROM rowcrew.job_event"); }

}  // namespace

TEST_CASE("budget: a provider without one spends what it takes") {
  const TempDatabase db;
  book(db, "now()", "openai", "9000000000");
  CHECK(left(db, "openai").empty());
}

TEST_CASE("budget: what is booked today counts, and being low or spent is news once a day") {
  const TempDatabase db;
  db.exec("INSERT INTO rowcrew.provider_budget (provider, day_micros) VALUES ('openai', 1000)");
  book(db, kToday + " - interval '1 ms'", "openai", "5000");
  book(db, kToday, "anthropic", "5000");
  CHECK(left(db, "openai") == "1000|0");
  book(db, kToday, "openai", "799");
  CHECK(left(db, "openai") == "1000|799");
  book(db, "now()", "openai", "1");
  CHECK(left(db, "openai") == "1000|800|low");
  CHECK(left(db, "openai") == "1000|800");
  book(db, "now()", "openai", "200");
  CHECK(left(db, "openai") == "1000|1000|t|spent");
  CHECK(left(db, "openai") == "1000|1000|t");
  CHECK(db.value("SELECT abs(wait_ms - extract(epoch FROM " + kToday + " + interval '24 hours' - now()) * 1000) < 5000"
                 " FROM rowcrew.budget_left('openai', 'job_queue', gen_random_uuid()::text, 'text')") == "t");
  CHECK(events(db) == "budget.low budget.spent");
  CHECK(db.value("SELECT data FROM rowcrew.job_event WHERE event = 'budget.low'") == R"({"provider": "openai", "day_micros": 1000, "spent_micros": 800})");
  // Another day, another budget.
  db.exec("UPDATE rowcrew.provider_budget SET day_micros = 10000, spent_on = spent_on - 1, warned_on = warned_on - 1");
  CHECK(left(db, "openai") == "10000|1000");
  CHECK(db.value("SELECT count(*) FROM rowcrew.audit_logs WHERE target = 'provider_budget openai'") == "2");  // not what the nodes note
}

TEST_CASE("budget: one of nothing stops a provider, whatever is booked") {
  const TempDatabase db;
  db.exec("INSERT INTO rowcrew.provider_budget (provider, day_micros) VALUES ('openai', 0)");
  CHECK(left(db, "openai") == "0|0|t|spent");
  CHECK(left(db, "openai") == "0|0|t");
  book(db, "now()", "openai", "9223372036854775807");
  book(db, "now()", "openai", "9223372036854775807");
  CHECK(left(db, "openai") == "0|9223372036854775807|t");
}

TEST_CASE("budget: days are those of UTC, whatever zone the session is in") {
  const TempDatabase db;
  db.exec("INSERT INTO rowcrew.provider_budget (provider, day_micros) VALUES ('openai', 1000)");
  book(db, kToday + " - interval '1 ms'", "openai", "5000");
  book(db, kToday, "openai", "7");
  for (const char* zone : {"America/New_York", "Pacific/Kiritimati"}) {
    CAPTURE(zone);
    CHECK_NOTHROW(db.exec("SET timezone = '" + std::string(zone) + "'; DO $$ BEGIN ASSERT (SELECT spent_micros = 7"
                          " FROM rowcrew.budget_left('openai', 'job_queue', gen_random_uuid()::text, 'text')); END $$"));
  }
}

}  // namespace rowcrew::testing
