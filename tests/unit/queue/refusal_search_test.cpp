#include "queue/refusal_search.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace rowcrew;

namespace {

using Ids = std::vector<std::string>;

DbError error_of(const std::string& state, ErrorClass error_class = ErrorClass::bug, bool lost = false) {
  return DbError(error_class, state, "refused", lost, false);
}

struct Found {
  Ids passed;
  Ids refused;
  int statements = 0;
};

/// Tries as a database does that refuses what holds any of `bad`.
Found search(const Ids& ids, const std::set<std::string>& bad, std::size_t most) {
  RefusalSearch of(ids);
  Found found;
  while (!of.done()) {
    const Ids part = of.next(most);
    REQUIRE(!part.empty());
    REQUIRE(part.size() <= std::max<std::size_t>(most, 1));
    ++found.statements;
    bool refused = false;
    for (const std::string& id : part) refused = refused || bad.contains(id);
    if (!refused) {
      found.passed.insert(found.passed.end(), part.begin(), part.end());
      of.passed();
    } else if (const auto id = of.refused()) {
      found.refused.push_back(*id);
    }
  }
  return found;
}

Ids numbered(int n) {
  Ids ids;
  for (int i = 0; i < n; ++i) ids.push_back(std::to_string(i));
  return ids;
}

}  // namespace

TEST_CASE("refusal search: exactly those that are refused stand alone, the others pass in their order") {
  for (const int n : {1, 2, 3, 7, 100}) {
    for (const std::set<std::string>& bad : {std::set<std::string>{}, {"0"}, {"2"}, {"0", "1", "2"}, {"6", "99"}}) {
      for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{1000}}) {
        CAPTURE(n);
        CAPTURE(most);
        Ids good;
        Ids wrong;
        for (const std::string& id : numbered(n)) (bad.contains(id) ? wrong : good).push_back(id);
        const Found found = search(numbered(n), bad, most);
        CHECK(found.passed == good);
        CHECK(found.refused == wrong);
      }
    }
  }
}

TEST_CASE("refusal search: one among five hundred is found in about twice as many statements as halvings") {
  CHECK(search(numbered(500), {"321"}, 500).statements <= 20);
  CHECK(search(numbered(500), {}, 500).statements == 1);
}

TEST_CASE("refusal search: a job that has two hints is tried once") {
  const Found found = search({"a", "b", "a", "c", "b"}, {"b"}, 10);
  CHECK(found.passed == Ids{"a", "c"});
  CHECK(found.refused == Ids{"b"});
}

TEST_CASE("refusal search: nothing to look for is done at once") { CHECK(RefusalSearch(Ids{}).done()); }

TEST_CASE("refusal search: only what a row can hold makes it look") {
  for (const char* state : {"22P02", "22021", "23514", "23505", "P0001", "54000", "44000", "45000"}) {
    CAPTURE(state);
    CHECK(tells_of_one_job(error_of(state)));
  }
  for (const char* state : {"42703", "42501", "0A000", "28P01", "XX000", "58030", "25006", ""}) {
    CAPTURE(state);
    CHECK_FALSE(tells_of_one_job(error_of(state)));
  }
  CHECK_FALSE(tells_of_one_job(error_of("40P01", ErrorClass::transient)));
  CHECK_FALSE(tells_of_one_job(error_of("23514", ErrorClass::permanent, true)));
}
