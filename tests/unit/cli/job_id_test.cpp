// How a job is named on the command line.
#include <doctest/doctest.h>

#include "cli/job_id.hpp"

using rowcrew::cli::adopted_job;

TEST_CASE("job id: a job of an adopted table is named by table and key, whatever the key holds") {
  const auto job = adopted_job("public_jobs:a:b 1");
  REQUIRE(job.has_value());
  CHECK(job->table == "public_jobs");
  CHECK(job->key == "a:b 1");
}

TEST_CASE("job id: an id alone, or half of such a name, is none of an adopted table") {
  for (const char* text : {"0190b0d4-7c5a-7000-8000-000000000000", "", ":5", "public_jobs:"}) {
    CAPTURE(text);
    CHECK_FALSE(adopted_job(text).has_value());
  }
}
