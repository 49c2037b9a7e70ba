#include "queue/table_map.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

TEST_CASE("table map: names are quoted and carry their schema") {
  const TableMap map = table_map("job_queue");
  CHECK(map.name == "job_queue");
  CHECK(map.values.at("table") == R"("rowcrew"."job_queue")");
  CHECK(map.values.at("ready") == R"("rowcrew"."job_queue_ready")");
  CHECK(map.values.at("parked") == R"("rowcrew"."job_queue_parked")");
  CHECK(map.values.at("claim") == R"("rowcrew"."job_queue_claim")");
  CHECK(map.values.at("table_name") == "'job_queue'");
  CHECK(map.values.at("table_regclass") == R"('"rowcrew"."job_queue"')");
}

TEST_CASE("table map: each table of ours calls type, payload and result its own way") {
  const TableMap jobs = table_map("job_queue");
  CHECK(jobs.values.at("job_type") == "q.job_type");
  CHECK(jobs.values.at("payload") == "q.payload");
  CHECK(jobs.values.at("result") == "result");

  const TableMap generations = table_map("processing_jobs");
  CHECK(generations.values.at("table") == R"("rowcrew"."processing_jobs")");
  CHECK(generations.values.at("job_type") == "q.type");
  CHECK(generations.values.at("result") == "outputs");
  for (const char* column : {"q.type", "q.provider", "q.external_id", "q.prompt", "q.inputs"}) {
    CHECK(generations.values.at("payload").find(column) != std::string::npos);
  }
}

TEST_CASE("table map: both tables fill the same placeholders") {
  const TableMap jobs = table_map("job_queue");
  const TableMap generations = table_map("processing_jobs");
  for (const auto& [key, value] : jobs.values) CHECK(generations.values.contains(key));
  CHECK(jobs.values.size() == generations.values.size());
}

TEST_CASE("table map: a table that is not ours is refused") {
  CHECK_THROWS_AS(table_map("invoices"), BugError);
  CHECK_THROWS_AS(table_map(""), BugError);
}

TEST_CASE("table map: an adopted table's is what its template says, and texts only") {
  const TableMap map = adopted_table_map("public_jobs", 3, R"({"table": "public.jobs", "key": "id"})");
  CHECK(map.adopted);
  CHECK(map.name == "public_jobs");
  CHECK(map.epoch == 3);
  CHECK(map.values.at("table") == "public.jobs");
  CHECK(map.values.at("key") == "id");
  CHECK_THROWS_AS(adopted_table_map("x", 1, "[]"), BugError);
  CHECK_THROWS_AS(adopted_table_map("x", 1, R"({"table": 1})"), BugError);
}

}  // namespace
}  // namespace rowcrew
