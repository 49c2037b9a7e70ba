// The fence: what is no longer ours is not written, and what was written is recognised.
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

std::string row(QueueBench& b, const std::string& id, const std::string& columns) {
  return b.value("SELECT concat_ws('|', " + columns + ") FROM {t} q WHERE id = $1::uuid",
                 Params{}.add(id));
}

/// What makes a claim no longer ours.
struct Loss {
  const char* name;
  const char* sql;
  const char* status;  ///< as it must stay
};
const Loss kLosses[] = {
    {"set to pending by hand", "UPDATE {t} SET status = 'pending'", "pending"},
    {"cancelled by hand", "UPDATE {t} SET status = 'cancelled'", "cancelled"},
    {"failed by hand", "UPDATE {t} SET status = 'failed', error_code = 'by_hand'", "failed"},
    {"claimed anew by another", "UPDATE {t} SET claim_token = 2, worker_id = 9", "processing"},
};

}  // namespace

TEST_CASE("finish: a completion without the claim writes nothing") {
  for (const char* table : kJobTables) {
    for (const Loss& loss : kLosses) {
      CAPTURE(table);
      CAPTURE(loss.name);
      QueueBench b(table);
      const std::string id = b.insert_one();
      const auto claimed = b.claim(b.node());
      b.exec(loss.sql);
      CHECK(b.complete(claimed).empty());
      CHECK(row(b, id, "status, attempts, completed_at") == std::string(loss.status) + "|0");
    }
  }
}

TEST_CASE("finish: an ending without the claim writes nothing, no log, no event, no hint") {
  const Outcome outcomes[] = {Retry("x", "y"), Snooze(1s), Failed("x", "y"), Cancelled("z")};
  for (const char* table : kJobTables) {
    for (const Loss& loss : kLosses) {
      CAPTURE(table);
      CAPTURE(loss.name);
      QueueBench b(table);
      b.exec(
          "INSERT INTO rowcrew.event_subscription (name, events) VALUES "
          "('all', '{job.completed,job.failed,job.cancelled}')");
      const std::string id = b.insert_one();
      const auto claimed = b.claim(b.node());
      b.exec(loss.sql);
      const std::string before = row(b, id, "q");
      const std::string hints = b.hints(id);
      for (const Outcome& outcome : outcomes) CHECK(b.end(claimed, outcome).empty());
      CHECK(b.complete(claimed).empty());
      CHECK(row(b, id, "q") == before);
      CHECK(b.hints(id) == hints);
      CHECK(b.count("rowcrew.job_attempt") == 0);
      CHECK(b.count("rowcrew.job_event") == 0);
    }
  }
}

TEST_CASE("finish: what was reaped is not finished by the dead, nor after another has it") {
  for (const char* table : kJobTables) {
    QueueBench b(table);
    const NodeIdentity dying = b.node(1);
    const NodeIdentity other = b.node(2);
    const std::string id = b.insert_one();
    const auto claimed = b.claim(dying);
    b.kill(dying);
    CHECK(b.await(b.jobs.reap(3, 0)).jobs.size() == 1);
    CHECK(b.complete(claimed).empty());
    CHECK(b.status(id) == "retrying");
    const auto again = b.await(b.jobs.claim_rescued({b.new_token()}, other, {QueueBench::want("q", 1)}));
    REQUIRE(again.size() == 1);
    CHECK(b.complete(claimed, false).empty());
    CHECK(b.end(claimed, Failed("x", "late"), false).empty());
    CHECK(b.status(id) == "processing");
    CHECK(b.complete(again) == Ids{id});
  }
}

TEST_CASE("finish: of a batch only the lost jobs are refused") {
  QueueBench b;
  b.insert(4);
  const auto claimed = b.claim(b.node());
  b.query("UPDATE {t} SET status = 'pending' WHERE id = $1::uuid", Params{}.add(claimed[1].job.id));
  Ids rest = ids_of(claimed);
  rest.erase(rest.begin() + 1);
  CHECK(sorted(b.complete(claimed)) == sorted(rest));
}

TEST_CASE("finish: a repetition after a success is refused, and recognised as a success") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const Ids ids = b.insert(3);
    const auto claimed = b.claim(b.node());
    const std::vector<ClaimedJob> good{claimed[0]}, bad{claimed[1]}, running{claimed[2]};
    b.complete(good, false);
    b.end(bad, Retry("x", "y", 1h), false);
    CHECK(b.complete(good, false).empty());
    CHECK(b.end(bad, Retry("x", "y", 1h), false).empty());
    CHECK(sorted(b.await(b.jobs.finish_verify(ended(claimed, Completed())))) ==
          sorted({claimed[0].job.id, claimed[1].job.id}));
    // Written once, not twice.
    CHECK(b.number("SELECT sum(attempts) FROM {t}") == 2);
    CHECK(b.count("rowcrew.job_attempt") == 1);
    // Another's job is not mistaken for ours.
    b.exec("UPDATE {t} SET claim_token = 3");
    CHECK(b.await(b.jobs.finish_verify(ended(claimed, Completed()))).empty());
  }
}
