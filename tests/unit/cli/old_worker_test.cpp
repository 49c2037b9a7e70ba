// Which old workers may go on beside us.
#include <doctest/doctest.h>

#include <string>

#include "cli/old_worker.hpp"

using rowcrew::cli::fault_of_old_worker;

namespace {

std::string judge(const char* statement) { return fault_of_old_worker(statement, "state", {"queued", "Again"}, "running"); }

}  // namespace

TEST_CASE("old worker: one whose UPDATE asks for the waiting word may go on") {
  CHECK(judge("UPDATE jobs SET state = 'running' WHERE id = $1 AND state = 'queued'").empty());
  CHECK(judge("update jobs set state='running' where id=$1 and \"state\" IN ('queued', 'again') returning *").empty());
  CHECK(judge("UPDATE jobs SET state = 'running' WHERE id = ? AND jobs.state = 'queued'::job_state").empty());
  CHECK(judge("UPDATE jobs SET state = 'running' WHERE id = (SELECT id FROM jobs WHERE state = 'queued' LIMIT 1) AND state = 'queued'").empty());
}

TEST_CASE("old worker: one whose words are cast to an enum, as Prisma writes them, may go on") {
  CHECK(judge("UPDATE \"public\".\"jobs\" SET \"state\" = CAST('running'::text AS \"public\".\"State\"), \"updatedAt\" = $2 WHERE "
              "(\"public\".\"jobs\".\"id\" = $3 AND \"public\".\"jobs\".\"state\" = CAST('queued'::text AS \"public\".\"State\"))").empty());
  CHECK_FALSE(judge("UPDATE jobs SET state = 'running' WHERE state = CAST(other AS text) AND word = 'queued'").empty());
}

TEST_CASE("old worker: a statement that was copied with its parameters is asked for its values") {
  for (const char* value : {"$1", "%s", "%(state)s", ":state", "?"}) {
    CAPTURE(value);
    const std::string statement = "UPDATE jobs SET state = " + std::string(value) + " WHERE id = 1 AND state = 'queued'";
    CHECK(judge(statement.c_str()) == "its claim does not set state to 'running': write it with its values, not with parameters");
  }
  CHECK(judge("UPDATE jobs SET state = 'done'::job_state WHERE state = 'queued'") == "its claim does not set state to 'running'");
}

TEST_CASE("old worker: one that chooses its rows under FOR UPDATE may go on") {
  CHECK(judge("UPDATE jobs SET state = 'running' WHERE id IN (SELECT id FROM jobs WHERE state = 'queued' LIMIT 5 FOR UPDATE SKIP LOCKED)").empty());
  CHECK(judge("WITH c AS (SELECT id FROM jobs WHERE state = 'queued' FOR NO KEY UPDATE) UPDATE jobs SET state = 'running' FROM c WHERE jobs.id = c.id").empty());
}

TEST_CASE("old worker: one that only looked before is refused, and told what is missing") {
  const char* const naive[] = {
      "UPDATE jobs SET state = 'running' WHERE id = $1",
      "UPDATE jobs SET state = 'running' WHERE id = (SELECT id FROM jobs WHERE state = 'queued' LIMIT 1)",
      "UPDATE jobs SET state = 'running' WHERE id = $1 -- AND state = 'queued'",
      "UPDATE jobs SET state = 'running' WHERE id = $1 AND other_state = 'queued'",
      "UPDATE jobs SET state = 'running' WHERE id = $1 AND state <> 'queued'",
      "UPDATE jobs SET state = 'running' WHERE id IN (SELECT id FROM jobs WHERE id = 1 FOR UPDATE)",
  };
  for (const char* statement : naive) {
    CAPTURE(statement);
    CHECK(judge(statement).find("does not ask for state = 'queued' again") != std::string::npos);
  }
  CHECK(judge("SELECT * FROM jobs WHERE state = 'queued' FOR UPDATE").find("is no UPDATE") != std::string::npos);
  CHECK(judge("UPDATE jobs SET locked_by = $1 WHERE state = 'queued'").find("does not set state to 'running'") != std::string::npos);
}

TEST_CASE("old worker: what stands in comments does not count, however long they are, and a literal is none") {
  const std::string claim = "UPDATE jobs SET state = 'running' WHERE id = $1 AND state = 'queued'";
  for (const std::string& comment : {"/* don't **" + std::string(200'000, '*') + "/ ", "-- don't " + std::string(200'000, '-') + "\n"}) {
    CHECK(judge((comment + claim).c_str()).empty());
    CHECK(judge((claim.substr(0, claim.find(" AND")) + comment).c_str()).find("does not ask for state = 'queued' again") != std::string::npos);
  }
  CHECK(judge("UPDATE jobs SET state = 'running', note = '-- /* it''s' WHERE id = $1 AND state = 'queued'").empty());
  CHECK_FALSE(judge("UPDATE jobs SET state = 'running' WHERE id = $1 /* AND state = 'queued'").empty());
}
