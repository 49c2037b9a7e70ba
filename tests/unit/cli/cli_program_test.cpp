#include "cli/cli_program.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

#include <rowcrew/db_error.hpp>

using rowcrew::cli::Command;
using rowcrew::cli::Invocation;

namespace {

/// A program with two commands that tell what they were given.
struct Bench {
  int run(std::vector<std::string> args) {
    out.str({});
    err.str({});
    seen.clear();
    return rowcrew::cli::run_cli(args, known, {{}, in, out, err, false});
  }

  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  std::vector<std::string> seen;
  std::function<void()> act = [] {};
  std::vector<Command> known = {
      {"status", "tells", [this](Invocation& call) { return note(call); }},
      {"enqueue", "adds", [this](Invocation& call) { return note(call); }},
  };
  int note(Invocation& call) {
    seen = call.args;
    act();
    return 0;
  }
};

}  // namespace

TEST_CASE("a command gets what stands behind it, and connection options from before it") {
  Bench bench;
  CHECK(bench.run({"--database", "postgresql:///x", "--config=f", "status", "--json", "word"}) ==
        0);
  CHECK(bench.seen ==
        std::vector<std::string>{"--json", "word", "--database", "postgresql:///x", "--config=f"});
}

TEST_CASE("an unknown command is 64 and names the nearest one") {
  Bench bench;
  CHECK(bench.run({"stauts"}) == 64);
  CHECK(bench.err.str() == "rowcrew: stauts: unknown command, did you mean status?\n");
  CHECK(bench.run({"stat"}) == 64);
  CHECK(bench.err.str().find("did you mean status?") != std::string::npos);
  CHECK(bench.run({"frobnicate"}) == 64);
  CHECK(bench.err.str().find("see rowcrew --help") != std::string::npos);
}

TEST_CASE("without a command the overview goes to stderr and the code is 64") {
  Bench bench;
  CHECK(bench.run({}) == 64);
  CHECK(bench.out.str().empty());
  CHECK(bench.err.str().find("  enqueue    adds\n") != std::string::npos);
}

TEST_CASE("help and version are asked for on stdout") {
  Bench bench;
  CHECK(bench.run({"--help"}) == 0);
  CHECK(bench.out.str().find("  status     tells\n") != std::string::npos);
  CHECK(bench.run({"help", "status"}) == 0);
  CHECK(bench.seen == std::vector<std::string>{"--help"});
  CHECK(bench.run({"--version"}) == 0);
  CHECK(bench.out.str().starts_with("rowcrew "));
  CHECK(bench.out.str().find(" (schema ") != std::string::npos);
}

TEST_CASE("wrong options before the command are 64") {
  Bench bench;
  CHECK(bench.run({"--datbase", "x", "status"}) == 64);
  CHECK(bench.run({"--database"}) == 64);
}

TEST_CASE("every failure is one line and an exit code of its kind") {
  Bench bench;
  const auto code = [&](std::function<void()> act) {
    bench.act = std::move(act);
    const int result = bench.run({"status"});
    const std::string text = bench.err.str();
    CHECK(text.starts_with("rowcrew: "));
    CHECK(text.find('\n') == text.size() - 1);
    return result;
  };
  using rowcrew::DbError;
  using rowcrew::ErrorClass;
  CHECK(code([] { throw rowcrew::UsageError("u"); }) == 64);
  CHECK(code([] { throw rowcrew::ConfigError("c"); }) == 78);
  CHECK(code([] { throw DbError(ErrorClass::transient, "", "a\nb", true, false); }) == 69);
  CHECK(code([] { throw DbError(ErrorClass::bug, "42501", "denied", false, false); }) == 1);
  CHECK(code([] { throw std::runtime_error("x"); }) == 1);
}

TEST_CASE("an answer that standard output does not take is a failure, and said") {
  struct Full : std::streambuf {
    int sync() override { return -1; }
    std::streamsize xsputn(const char*, std::streamsize size) override { return size; }  // buffered, as of a file
  } full;
  Bench bench;
  std::ostream out(&full);
  CHECK(rowcrew::cli::run_cli({"--version"}, bench.known, {{}, bench.in, out, bench.err, false}) == 1);
  CHECK(bench.err.str() == "rowcrew: standard output: not everything could be written to it\n");
}

TEST_CASE("the commands of this layer can tell about themselves without a database") {
  Bench bench;
  for (const Command& command : rowcrew::cli::commands()) {
    CAPTURE(command.name);
    CHECK(rowcrew::cli::run_cli({std::string(command.name), "--help"}, rowcrew::cli::commands(),
                                {{}, bench.in, bench.out, bench.err, false}) == 0);
    CHECK(bench.out.str().find("Usage: rowcrew " + std::string(command.name)) != std::string::npos);
  }
}

TEST_CASE("wrong arguments are found before the database is looked for") {
  Bench bench;
  const auto run = [&](std::vector<std::string> args) {
    bench.err.str({});
    return rowcrew::cli::run_cli(args, rowcrew::cli::commands(),
                                 {{}, bench.in, bench.out, bench.err, false});
  };
  CHECK(run({"enqueue"}) == 64);
  CHECK(bench.err.str().find("TYPE: missing") != std::string::npos);
  CHECK(run({"enqueue", "a", "b"}) == 64);
  CHECK(run({"enqueue", ""}) == 64);
  CHECK(run({"enqueue", "a", "--priority", "10"}) == 64);
  CHECK(bench.err.str() == "rowcrew: --priority: 10, expected a whole number, 0 to 9\n");
  CHECK(run({"enqueue", "a", "--delay", "10"}) == 64);
  CHECK(run({"enqueue", "a", "--payload", "@/no/such/file"}) == 64);
  CHECK(run({"enqueue", "a", "--prio", "1"}) == 64);
  CHECK(run({"migrate", "--step", "sideways"}) == 64);
  CHECK(run({"migrate", "--sql", "--app", "demo"}) == 64);  // the app would be missing in what is printed
  CHECK(run({"tail", "--level", "loud"}) == 64);
  CHECK(run({"key"}) == 64);
  CHECK(run({"key", "drop"}) == 64);
  CHECK(run({"key", "create", "--name", "x"}) == 64);
  CHECK(run({"key", "create", "--name", "x:y", "--job-types", "a"}) == 64);  // its jobs' unique keys could be those of "x"
  CHECK(run({"key", "create", "--name", "x", "--job-types", "a,,b"}) == 64);
  const std::string job = "0190b0d4-7c5a-7000-8000-000000000000";
  CHECK(run({"why", "0190b0d47-c5a-7000-8000-000000000000"}) == 64);
  CHECK(run({"cancel", job, "--preview"}) == 64);
  CHECK(run({"cancel", job, "--continue", "3"}) == 64);
  CHECK(bench.err.str() == "rowcrew: --continue: expected no JOB beside it\n");
  CHECK(run({"cancel", job, "--all"}) == 64);
  CHECK(run({"redrive", "--continue", "3", "--reason", "again"}) == 64);
  CHECK(run({"redrive", "--continue", "3", "--preview"}) == 64);
}
