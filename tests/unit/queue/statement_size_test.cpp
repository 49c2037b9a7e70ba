#include "queue/statement_size.hpp"

#include <doctest/doctest.h>

using namespace rowcrew;
using namespace std::chrono_literals;

TEST_CASE("statement size: nothing is bounded until a statement takes too long") {
  StatementSize size;
  CHECK(size.most() >= 10'000);
  size.answered(1h);
  CHECK(size.most() >= 10'000);
}

TEST_CASE("statement size: half as many are tried after one that took too long, down to one") {
  StatementSize size;
  size.overdue(500, 7s);
  CHECK(size.most() == 250);
  size.overdue(40, 7s);  // it asked for fewer than it might have
  CHECK(size.most() == 20);
  size.overdue(250, 7s);  // sent before the last one was known to be too long
  CHECK(size.most() == 10);
  for (int i = 0; i < 10; ++i) size.overdue(size.most(), 7s);
  CHECK(size.most() == 1);
}

TEST_CASE("statement size: twice as many are tried when they are expected to be in time") {
  StatementSize size;
  size.overdue(500, 8s);
  size.answered(4s);
  CHECK(size.most() == 250);
  size.answered(2s);
  CHECK(size.most() == 500);
  for (int i = 0; i < 20; ++i) size.answered(10ms);
  CHECK(size.most() >= 10'000);
}

TEST_CASE("statement size: where each job takes its time it settles on as many as fit, and stays there") {
  StatementSize size;
  std::size_t asked = 500;
  int overdue = 0;
  for (int i = 0; i < 100; ++i) {
    asked = std::min<std::size_t>(500, size.most());
    const auto took = asked * 50ms;
    if (took > 7s) {
      ++overdue;
      size.overdue(asked, 7s);
    } else {
      size.answered(took);
    }
  }
  CHECK(overdue == 2);
  CHECK(asked == 125);
}

TEST_CASE("statement size: only a statement that was cancelled was too long") {
  CHECK(tells_of_overdue(DbError(ErrorClass::transient, "57014", "canceling statement due to statement timeout", false, false)));
  CHECK_FALSE(tells_of_overdue(DbError(ErrorClass::transient, "55P03", "canceling statement due to lock timeout", false, false)));
  CHECK_FALSE(tells_of_overdue(DbError(ErrorClass::transient, "", "connection lost", true, false)));
}
