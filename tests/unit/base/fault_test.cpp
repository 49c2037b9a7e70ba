#include <rowcrew/fault.hpp>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rowcrew/error.hpp>

#include "scratch_dir.hpp"

using namespace rowcrew;
using testing::ScopedEnv;
using testing::sentence_of;
using Action = FaultPlan::Action;

TEST_CASE("a point acts at the armed pass, once") {
  FaultPlan plan("claim.committed:3,handler.running:1:throw");
  CHECK(plan.pass("claim.committed") == Action::none);
  CHECK(plan.pass("other.point") == Action::none);
  CHECK(plan.pass("claim.committed") == Action::none);
  CHECK(plan.pass("claim.committed") == Action::kill);
  CHECK(plan.pass("claim.committed") == Action::none);
  CHECK(plan.pass("handler.running") == Action::fail);
  CHECK(plan.pass("handler.running") == Action::none);
}

TEST_CASE("without a count it is the first pass; an empty text arms nothing") {
  FaultPlan one("a.b");
  CHECK(one.pass("a.b") == Action::kill);
  FaultPlan none("");
  CHECK(none.pass("a.b") == Action::none);
  CHECK(none.pass("") == Action::none);
}

TEST_CASE("a malformed text is refused") {
  for (const char* text : {":3", "a:0", "a:x", "a:-1", "a:1:die", "a:1:throw:x", ",a"}) {
    CAPTURE(text);
    CHECK(sentence_of<ConfigError>([&] {
            FaultPlan plan(text);
          }).ends_with("expected <point>[:<pass>[:throw]]"));
  }
}

TEST_CASE("an armed process throws, tells what is armed, and dies by SIGKILL") {
  // In a child: the plan of a process is made once.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::setenv("ROWCREW_FAULT", "a.b:2:throw,c.d", 1);
    bool as_expected = armed_fault_points() == "a.b:2:throw,c.d";
    pass_fault_point("a.b");
    try {
      pass_fault_point("a.b");
      as_expected = false;
    } catch (const TransientError& error) {
      as_expected = as_expected && error.code() == "fault";
    }
    if (!as_expected) ::_exit(1);
    ROWCREW_FAULT_POINT("c.d");
    ::_exit(2);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
#ifdef ROWCREW_FAULTS
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGKILL);
#else
  CHECK(WIFEXITED(status));
#endif
}
