#include "queue/claim_ledger.hpp"

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

using Tokens = std::vector<std::int64_t>;

TEST_CASE("claim ledger: a claim is known from before it is sent until its last job has ended") {
  ClaimLedger ledger;
  CHECK_FALSE(ledger.knows(7));
  ledger.sending(7);
  CHECK(ledger.knows(7));
  ledger.claimed(7, 3);
  CHECK(ledger.knows(7));
  CHECK(ledger.held() == 1);
  ledger.ended(7, 2, false);
  CHECK(ledger.knows(7));
  ledger.ended(7, 1, true);
  CHECK_FALSE(ledger.knows(7));
  CHECK(ledger.held() == 0);
  CHECK(ledger.removable().empty());
}

TEST_CASE(
    "claim ledger: a claim whose reply was lost is no longer known, so that it is handed back") {
  ClaimLedger ledger;
  ledger.sending(7);
  ledger.unknown(7);
  CHECK_FALSE(ledger.knows(7));
  CHECK(ledger.removable().empty());
}

TEST_CASE("claim ledger: a claim that got nothing is due for removal at once") {
  ClaimLedger ledger;
  ledger.sending(7);
  ledger.claimed(7, 0);
  CHECK_FALSE(ledger.knows(7));
  CHECK(ledger.removable() == Tokens{7});
  ledger.removed(7);
  CHECK(ledger.removable().empty());
}

TEST_CASE("claim ledger: a claim row goes with the write that ends its last jobs") {
  ClaimLedger ledger;
  ledger.claimed(7, 3);
  ledger.claimed(8, 1);
  CHECK(ledger.ending_with({{7, 2}}).empty());
  CHECK(ledger.ending_with({{7, 3}}) == Tokens{7});
  CHECK(ledger.ending_with({{7, 1}, {8, 1}}) == Tokens{8});
  CHECK(ledger.ending_with({{9, 5}}).empty());  // of another life of this node
  ledger.ended(7, 2, false);
  CHECK(ledger.ending_with({{7, 1}, {8, 1}}) == Tokens{7, 8});
}

TEST_CASE("claim ledger: two writes that each end a part leave the row to be removed by itself") {
  ClaimLedger ledger;
  ledger.claimed(7, 2);
  // Both are under way: neither ends all that is outstanding, so neither names the row.
  CHECK(ledger.ending_with({{7, 1}}).empty());
  CHECK(ledger.ending_with({{7, 1}}).empty());
  ledger.ended(7, 1, false);
  ledger.ended(7, 1, false);
  CHECK_FALSE(ledger.knows(7));
  CHECK(ledger.removable() == Tokens{7});
}

TEST_CASE("claim ledger: a row of jobs with permits is to say how many of them still run") {
  ClaimLedger ledger;
  const auto rows = [&](const std::map<std::int64_t, std::size_t>& ending) {
    std::map<std::int64_t, std::size_t> found;
    for (const StillRunning& row : ledger.to_lower(ending)) found.emplace(row.token, row.jobs);
    return found;
  };
  using Rows = std::map<std::int64_t, std::size_t>;
  ledger.claimed_with_permits(7, 3);
  ledger.claimed(8, 3);
  CHECK(rows({{7, 1}, {8, 1}}) == Rows{{7, 2}});  // without permits there is nothing to say
  CHECK(rows({{7, 3}}).empty());                  // its row goes
  ledger.lowered(ledger.to_lower({{7, 1}}));
  ledger.ended(7, 1, false);
  CHECK(rows({}).empty());
  ledger.ended(7, 1, false);  // written by a transaction of its own
  CHECK(rows({}) == Rows{{7, 1}});
  ledger.ended(7, 1, false);
  CHECK(rows({}).empty());
  CHECK_FALSE(ledger.any_permits());
}

TEST_CASE("claim ledger: two writes under way that each end a part never make a row say too little") {
  ClaimLedger ledger;
  ledger.claimed_with_permits(7, 5);
  const auto one = ledger.to_lower({{7, 1}});
  const auto two = ledger.to_lower({{7, 2}});
  REQUIRE(one.size() == 1);
  REQUIRE(two.size() == 1);
  ledger.lowered(two);
  ledger.ended(7, 2, false);
  ledger.lowered(one);
  ledger.ended(7, 1, false);
  const auto rest = ledger.to_lower({});
  REQUIRE(rest.size() == 1);
  CHECK(rest.front().jobs == 2);
}

TEST_CASE("claim ledger: the end of a job of an unknown claim is no news") {
  ClaimLedger ledger;
  ledger.ended(7, 1, false);
  CHECK(ledger.held() == 0);
  CHECK(ledger.removable().empty());
}

TEST_CASE("claim ledger: what is given up is known no more") {
  ClaimLedger ledger;
  ledger.sending(1);
  ledger.claimed(2, 2);
  ledger.claimed(3, 0);
  ledger.claimed_with_permits(4, 2);
  ledger.abandon();
  CHECK(ledger.to_lower({}).empty());
  CHECK_FALSE(ledger.knows(1));
  CHECK_FALSE(ledger.knows(2));
  CHECK(ledger.held() == 0);
  CHECK(ledger.removable().empty());
  ledger.ended(2, 2, false);  // a handler of it ends late
  CHECK(ledger.removable().empty());
}

TEST_CASE("claim ledger: tells that rows may exist of which nobody here knows, only after a reply was lost") {
  ClaimLedger ledger;
  ledger.sending(7);
  ledger.claimed(7, 1);
  ledger.ended(7, 1, true);
  ledger.sending(8);
  ledger.claimed(8, 0);
  CHECK(ledger.forgotten() == 0);
  ledger.sending(9);
  ledger.unknown(9);
  CHECK(ledger.forgotten() == 1);
  ledger.abandon();
  CHECK(ledger.forgotten() == 2);
}

}  // namespace
}  // namespace rowcrew
