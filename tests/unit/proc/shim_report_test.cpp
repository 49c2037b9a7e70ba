#include "proc/shim_report.hpp"

#include <doctest/doctest.h>

#include <cerrno>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

std::string thrown(std::string_view text) {
  try {
    throw_if_not_run(parse_shim_report(text), "/opt/tool", "/nowhere");
  } catch (const Error& error) {
    return error.code() + (error.error_class() == ErrorClass::transient ? " again" : " never");
  }
  return "ran";
}

TEST_CASE("shim report: the end of a program is read from its last lines") {
  const ShimReport exited = parse_shim_report("pid 71\nexit 3\n");
  CHECK(exited.complete());
  CHECK(exited.program == 71);
  CHECK(exited.exit_code == 3);
  CHECK_FALSE(exited.signal);
  CHECK_FALSE(exited.timed_out);

  CHECK(parse_shim_report("pid 71\nlease 0\nsignal 15\n").outlived_lease);
  const ShimReport killed = parse_shim_report("pid 71\ntimeout 0\nsignal 9\n");
  CHECK(killed.complete());
  CHECK(killed.signal == 9);
  CHECK(killed.timed_out);
}

TEST_CASE("shim report: without an end the program counts as lost") {
  CHECK_FALSE(parse_shim_report("").complete());
  CHECK_FALSE(parse_shim_report("pid 71\n").complete());
  CHECK_FALSE(parse_shim_report("pid 71\nexit 3").complete());  // half a line
  CHECK_FALSE(parse_shim_report("pid 71\nexit three\nexit\nhello 3\n").complete());
}

TEST_CASE("shim report: a program that never ran is told apart by whether waiting may help") {
  const auto line = [](const char* step, int error) {
    return "pid 71\n" + std::string(step) + " " + std::to_string(error) + "\nexit 127\n";
  };
  CHECK(thrown(line("exec", ENOENT)) == "child_not_found never");
  CHECK(thrown(line("exec", ENOTDIR)) == "child_not_found never");
  CHECK(thrown(line("exec", EACCES)) == "child_not_executable never");
  CHECK(thrown(line("exec", ENOEXEC)) == "child_not_executable never");
  CHECK(thrown(line("exec", ETXTBSY)) == "child_spawn again");
  CHECK(thrown(line("exec", ENOMEM)) == "child_spawn again");
  CHECK(thrown(line("chdir", ENOENT)) == "child_bad_request never");
  CHECK(thrown("spawn 11\n") == "child_shortage again");
  CHECK(thrown("spawn 1\n") == "child_spawn again");
  CHECK(thrown("pid 71\nexit 127\n") == "ran");
}

}  // namespace
}  // namespace rowcrew
