// What a claim or a rescue does with a row that refuses it: the search for it, and the way around it.
#include "queue_bench.hpp"

using namespace std::chrono_literals;
using namespace rowcrew;
using namespace rowcrew::testing;

namespace {

constexpr int kMaxCrashes = 3;

/// No row of these jobs takes any write from now on.
void refuse(QueueBench& b, const Ids& ids) {
  std::string list;
  for (const std::string& id : ids) list += (list.empty() ? "" : ",") + id;
  b.ddl(b.named("CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;"
                "CREATE TRIGGER refuse BEFORE UPDATE ON {t} FOR EACH ROW WHEN (OLD.id = ANY ('{" + list + "}')) "
                "EXECUTE FUNCTION public.refuse()"));
}

std::string state_of_claim_listed(QueueBench& b, NodeIdentity by, const Ids& ids) {
  std::vector<ClaimWant> wants;
  wants.push_back(QueueBench::want("q", ids.size()));
  try {
    b.await(b.jobs.claim_listed(b.new_token(), by, wants, ids));
  } catch (const DbError& e) {
    return e.sqlstate();
  }
  return "";
}

}  // namespace

TEST_CASE("refused rows: the first hints are those that a claim meets, in its order") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const Ids later = b.insert(2, "priority", "5");
    const Ids sooner = b.insert(2, "priority", "1");
    b.insert(1, "scheduled_at", "now() + interval '1 hour'");
    b.exec("INSERT INTO {t} ({type}, queue) VALUES ('t', 'other')");
    const Ids all{sooner[0], sooner[1], later[0], later[1]};
    const Ids first = b.await(b.jobs.first_hints("q", 10));
    CHECK(sorted({first[0], first[1]}) == sorted(sooner));
    CHECK(sorted(first) == sorted(all));
    CHECK(b.await(b.jobs.first_hints("q", 1)) == Ids{first[0]});
    CHECK(b.await(b.jobs.first_hints("empty", 10)).empty());
  }
}

TEST_CASE("refused rows: a claim of some jobs takes those and no others") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(5);
    refuse(b, {ids[2]});
    CHECK(state_of_claim_listed(b, node, ids) == "P0001");
    CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'processing'") == 0);
    CHECK(state_of_claim_listed(b, node, {ids[0], ids[4]}).empty());
    CHECK(b.status(ids[0]) == "processing");
    CHECK(b.status(ids[4]) == "processing");
    CHECK(state_of_claim_listed(b, node, {ids[2]}) == "P0001");
    CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'processing'") == 2);
  }
}

TEST_CASE("refused rows: one that is laid aside is out of the way of claims, and comes back") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(2);
    b.await(b.jobs.park_unclaimable(ids[0], {"other", "q"}, 10min, std::string(600, 'x')));
    CHECK(b.hints(ids[0]) == "parked:unclaimable");
    CHECK(b.number("SELECT length(key) FROM {parked}") == 500);
    CHECK(b.number("SELECT count(*) FROM {parked} WHERE run_at - now() BETWEEN interval '9 minutes' AND interval '11 minutes'") == 1);
    CHECK(ids_of(b.claim(node)) == Ids{ids[1]});
    b.exec("UPDATE {parked} SET run_at = now()");
    b.await(b.jobs.promote(10));
    CHECK(ids_of(b.claim(node)) == Ids{ids[0]});
  }
}

TEST_CASE("refused rows: what has met a death is found, claimed and laid aside as well") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids once = b.insert(3, "crashes", "1");
    const Ids twice = b.insert(2, "crashes", "2");
    const Ids queues{"other", "q"};
    CHECK(sorted(b.await(b.jobs.first_survivors(queues, "rescued", 10))) == sorted(once));
    CHECK(b.await(b.jobs.first_survivors(queues, "suspect", 1)).size() == 1);
    std::vector<ClaimWant> wants;
    wants.push_back(QueueBench::want("q", 10));
    const std::optional<Ids> only = Ids{once[1]};
    CHECK(ids_of(b.await(b.jobs.claim_rescued({b.new_token(), b.new_token()}, node, wants, only))) == Ids{once[1]});
    b.await(b.jobs.park_unclaimable(once[0], queues, 10min, "why"));
    b.await(b.jobs.park_unclaimable(twice[0], queues, 10min, "why"));
    CHECK(b.hints(once[0]) == "parked:unclaimable");
    CHECK(b.hints(twice[0]) == "parked:unclaimable");
    CHECK(b.await(b.jobs.first_survivors(queues, "rescued", 10)) == Ids{once[2]});
    CHECK(b.await(b.jobs.first_survivors(queues, "suspect", 10)) == Ids{twice[1]});
    // Back where they belong, by the way of every hint that is not what it says.
    b.exec("UPDATE {parked} SET run_at = now() WHERE reason = 'unclaimable'");
    b.await(b.jobs.promote(10));
    CHECK(b.claim(node).empty());
    CHECK(b.hints(once[0]) == "parked:rescued");
    CHECK(b.hints(twice[0]) == "parked:suspect");
  }
}

TEST_CASE("refused rows: a rescue leaves out those that it is told to, and their claims stay") {
  for (const char* table : kJobTables) {
    CAPTURE(table);
    QueueBench b(table);
    const NodeIdentity node = b.node();
    const Ids ids = b.insert(4);
    b.claim(node, 2);
    b.claim(node, 2);
    b.kill(node);
    CHECK(sorted(b.await(b.jobs.dead_claims(0))) == sorted(ids));
    refuse(b, {ids[1]});
    CHECK_THROWS_AS(b.await(b.jobs.reap(kMaxCrashes, 0)), DbError);
    CHECK(b.number("SELECT count(*) FROM {t} WHERE status = 'processing'") == 4);
    JobTable::Rescued one;
    one.only = Ids{ids[0]};
    CHECK(b.await(b.jobs.reap(kMaxCrashes, 0, nullptr, one)).jobs.size() == 1);
    CHECK(b.status(ids[0]) == "retrying");
    CHECK(b.count("{claim}") == 2);
    JobTable::Rescued rest;
    rest.but = Ids{ids[1]};
    CHECK(b.await(b.jobs.reap(kMaxCrashes, 0, nullptr, rest)).jobs.size() == 2);
    CHECK(b.status(ids[1]) == "processing");
    CHECK(b.count("{claim}") == 1);
    b.ddl(b.named("DROP TRIGGER refuse ON {t}"));
    CHECK(b.await(b.jobs.reap(kMaxCrashes, 0)).jobs.size() == 1);
    CHECK(b.count("{claim}") == 0);
  }
}
