#include "runtime/slots.hpp"

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

TEST_CASE("slots: each queue has as many free slots as its limit less what runs") {
  Slots slots({{"mail", 2}, {"photo", 1}});
  CHECK(slots.free("mail") == 2);
  slots.take("mail");
  CHECK(slots.free("mail") == 1);
  CHECK(slots.free("photo") == 1);
  slots.take("mail");
  CHECK(slots.free("mail") == 0);
  slots.give_back("mail");
  CHECK(slots.free("mail") == 1);
}

TEST_CASE("slots: more may run than the limit, and then none is free until enough have ended") {
  Slots slots({{"mail", 1}});
  slots.take("mail");
  slots.take("mail");
  CHECK(slots.free("mail") == 0);
  slots.give_back("mail");
  CHECK(slots.free("mail") == 0);
  slots.give_back("mail");
  CHECK(slots.free("mail") == 1);
}

TEST_CASE("slots: giving back what was never taken frees nothing") {
  Slots slots({{"mail", 1}});
  slots.give_back("mail");
  CHECK(slots.free("mail") == 1);
}

TEST_CASE("slots: a queue that this node does not serve has none") {
  Slots slots({{"mail", 1}});
  slots.take("photo");
  slots.give_back("photo");
  CHECK(slots.free("photo") == 0);
  CHECK(slots.queues() == std::vector<std::string>{"mail"});
}

}  // namespace
}  // namespace rowcrew
