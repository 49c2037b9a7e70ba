#include "runtime/local_jobs.hpp"

#include <doctest/doctest.h>

using namespace std::chrono_literals;

namespace rowcrew {
namespace {

LocalJob job(const std::string& id, const std::string& queue, MonoClock::duration since = 0s, std::size_t table = 0) {
  LocalJob made;
  made.table = table;
  made.claimed.job.id = id;
  made.claimed.job.queue = queue;
  made.claimed.job.claim_token = 7;
  made.since = Mono{1h} + since;
  return made;
}

std::vector<std::string> ids(const std::vector<LocalJob>& jobs) {
  std::vector<std::string> out;
  for (const LocalJob& one : jobs) out.push_back(one.claimed.job.id);
  return out;
}

using Ids = std::vector<std::string>;

TEST_CASE("local jobs: each queue serves its own, first come first served") {
  LocalJobs jobs;
  CHECK(jobs.size() == 0);
  CHECK(jobs.size("mail") == 0);
  jobs.push(job("a", "mail"));
  jobs.push(job("b", "photo"));
  jobs.push(job("c", "mail"));
  CHECK(jobs.size() == 3);
  CHECK(jobs.size("mail") == 2);
  CHECK(jobs.pop("mail").claimed.job.id == "a");
  CHECK(jobs.pop("mail").claimed.job.id == "c");
  CHECK(jobs.size("mail") == 0);
  CHECK(jobs.pop("photo").claimed.job.id == "b");
  CHECK(jobs.size() == 0);
}

TEST_CASE("local jobs: those that have waited for too long are taken out, of every queue") {
  LocalJobs jobs;
  jobs.push(job("a", "mail", 1s));
  jobs.push(job("b", "mail", 2s));
  jobs.push(job("c", "mail", 3s));
  jobs.push(job("d", "photo", 1s));
  CHECK(jobs.older_than(Mono{1h} + 1s).empty());
  CHECK(ids(jobs.older_than(Mono{1h} + 3s)) == Ids{"a", "b", "d"});
  CHECK(jobs.size() == 1);
  CHECK(jobs.older_than(Mono{1h} + 3s).empty());
  CHECK(ids(jobs.take_all()) == Ids{"c"});
  CHECK(jobs.take_all().empty());
}

TEST_CASE("local jobs: what is taken is gone, all of a queue or one of whatever claim") {
  LocalJobs jobs;
  jobs.push(job("a", "mail"));
  jobs.push(job("b", "mail"));
  jobs.push(job("c", "photo"));
  CHECK(ids(jobs.take_all("mail")) == Ids{"a", "b"});
  CHECK(jobs.size("mail") == 0);
  CHECK(jobs.take_all("mail").empty());
  CHECK(jobs.take(0, "c").has_value());
  CHECK_FALSE(jobs.take(0, "c").has_value());
}

TEST_CASE("local jobs: those of a table are told without being taken") {
  LocalJobs jobs;
  jobs.push(job("a", "mail", 0s, 0));
  jobs.push(job("b", "photo", 0s, 1));
  jobs.push(job("c", "mail", 0s, 1));
  const auto told = [&](std::size_t table) {
    Ids out;
    for (const Job& one : jobs.jobs_of(table)) out.push_back(one.id);
    return out;
  };
  CHECK(told(0) == Ids{"a"});
  CHECK(told(1) == Ids{"c", "b"});
  CHECK(told(2).empty());
  CHECK(jobs.size() == 3);
}

TEST_CASE("local jobs: one that is no longer this node's is dropped by its claim") {
  LocalJobs jobs;
  jobs.push(job("a", "mail"));
  jobs.push(job("b", "mail"));
  CHECK_FALSE(jobs.drop(1, 7, "a"));  // of another table
  CHECK_FALSE(jobs.drop(0, 7, "c"));
  CHECK_FALSE(jobs.drop(0, 8, "a"));  // claimed again meanwhile
  CHECK(jobs.drop(0, 7, "a"));
  CHECK_FALSE(jobs.drop(0, 7, "a"));
  CHECK(ids(jobs.take_all()) == Ids{"b"});
}

}  // namespace
}  // namespace rowcrew
