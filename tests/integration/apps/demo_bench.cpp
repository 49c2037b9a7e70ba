#include "demo_bench.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "schema/schema.hpp"
#include "sql_queries.hpp"

namespace rowcrew::testing {
namespace {

const Statement kInput{"demo_test_input", "SELECT {port:generation_input}($1::uuid)"};
const Statement kFound{"demo_test_found", "SELECT {port:drive_files_found}($1, $2::jsonb)"};

}  // namespace

DemoBench::DemoBench(const std::string& tier, int limit)
    : pool(db.options(), log), jobs(pool, table_map("processing_jobs")) {
  for (const std::string_view script : schema::app_scripts("demo")) db.exec(script);
  query("UPDATE demo.tier SET monthly_limit = $1::int", Params{}.add(limit));
  query("SELECT demo.join_studio('Ada', 'ada@example.com', $1, 'f', '/in', '/out')", Params{}.add(tier));
  REQUIRE(catalog.load(testing::run(io, pool.query(sql::node_ports, Params{}))).empty());
}

std::string DemoBench::file(const std::string& name, int inode, const std::string& sha256, int mtime) {
  nlohmann::json file{{"name", name}, {"path", "/in/" + name}, {"device", 1}, {"inode", inode},
                      {"size", 10},   {"mtime_ns", mtime},     {"sha256", sha256}};
  return file.dump();
}

int DemoBench::found(const std::vector<std::string>& files) {
  std::string array = "[";
  for (const std::string& one : files) array += (array.size() > 1 ? "," : "") + one;
  Params params;
  params.add("f").add(array + "]");
  return static_cast<int>(testing::run(io, pool.query(catalog.bind(kFound, ""), std::move(params))).integer(0, 0));
}

int DemoBench::found_new(int count) {
  std::vector<std::string> files;
  for (int i = 0; i < count; ++i) {
    const std::string n = std::to_string(++files_);
    files.push_back(file("p" + n + ".jpg", 1000 + files_, "abcdef" + n));
  }
  return found(files);
}

std::vector<Job> DemoBench::claim(std::size_t count) {
  ClaimWant want;
  want.queue = "generation";
  want.count = count;
  want.marks.assign(10, "-infinity");
  std::vector<Job> claimed;
  for (ClaimedJob& job : testing::run(io, jobs.claim(token_++, {1, 1}, {want}))) claimed.push_back(std::move(job.job));
  return claimed;
}

std::string DemoBench::input(const Job& job) {
  const Rows rows = testing::run(io, pool.query(catalog.bind(kInput, job.app), Params{}.add(job.id)));
  const auto answer = nlohmann::json::parse(rows.text(0, 0));
  if (answer.contains("refuse")) return answer["refuse"]["code"].get<std::string>();
  return answer.contains("wait_ms") ? "wait" : "go";
}

void DemoBench::end(const Job& job, const Outcome& outcome) {
  EndedJob ended;
  ended.job = job;
  ended.ending = decide(job, outcome, RetryPolicy{}, 0);
  const auto port = catalog.ended()->find("generation", job.app);
  REQUIRE(port);
  REQUIRE(testing::run(io, jobs.finish_reported(EndedJobs({&ended}), *port, 1, {})).size() == 1);
}

std::string DemoBench::process(const Job& job) {
  const std::string verdict = input(job);
  if (verdict == "go") end(job, Completed(R"({"sha256":"out","width":4,"height":5})"));
  if (verdict != "go" && verdict != "wait") end(job, Failed(verdict, "refused"));
  return verdict;
}

std::string DemoBench::usage() {
  return value(
      "SELECT concat_ws('|', images_processed, images_failed, images_blocked, images_overage, overage_charged_cents, credits_spent)"
      " FROM demo.usage_tracking");
}

std::string DemoBench::statuses() {
  return value("SELECT string_agg(status, ' ' ORDER BY inode, sha256) FROM demo.photo");
}

}  // namespace rowcrew::testing
