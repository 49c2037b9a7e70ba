// How a job is named on the command line.
#include <doctest/doctest.h>

#include "cli/job_id.hpp"

#include <rowcrew/error.hpp>

using rowcrew::cli::adopted_job;
using rowcrew::cli::checked_job_id;

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

TEST_CASE("job id: a uuid has its dashes in their places, or none") {
  for (const char* text : {"0190b0d4-7c5a-7000-8000-000000000000", "0190B0D47C5A70008000000000000000"}) {
    CAPTURE(text);
    CHECK(checked_job_id(text) == text);
  }
  for (const char* text : {"0190b0d47-c5a-7000-8000-000000000000", "0190b0d4-7c5a-7000-8000-00000000000", "0190b0d4-7c5a-7000-8000-00000000000g",
                           "0190b0d47c5a7000800000000000000000-", "-190b0d4-7c5a-7000-8000-000000000000", "----", ""}) {
    CAPTURE(text);
    CHECK_THROWS_AS(checked_job_id(text), rowcrew::UsageError);
  }
}
