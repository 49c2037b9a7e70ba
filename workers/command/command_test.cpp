#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/registry.hpp>

#include "command_args.hpp"
#include "command_handler.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::command {
namespace {

using namespace std::chrono_literals;
using testing::KindBench;

constexpr const char* kConfig = R"(
kinds:
  command:
    allow:
      hello:
        argv: [/usr/bin/printf, "%s", "{name}"]
        args: {name: ""}
      resize:
        argv: [/opt/resize, "--size={width}x{height}", --, "{file}"]
        args: {width: "[0-9]{1,5}", height: "-?[0-9]{1,5}", file: "/data/[a-z]+"}
        env: {LANG: C, GREETING: "two words"}
        directory: /data
        timeout: 10s
        max_memory: 256MiB
        permanent_exits: [2, 64]
      report:
        argv: [/opt/report]
        stdin: payload
)";

// The entry's allow-list after `hello`, with `lines` as its settings.
std::string config_error(const std::string& lines) {
  const auto settings =
      testing::settings_from("command:\n  allow:\n    broken:\n" + lines).section("command");
  try {
    read_allow_list(settings);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string refusal(KindBench& bench, const std::string& payload) {
  CommandHandler handler(bench.deps);
  try {
    bench.run(handler, payload);
  } catch (const PermanentError& error) {
    CHECK(bench.children.requests.empty());
    return error.code();
  }
  return "";
}

ChildResult exited(int status, std::string output = {}, std::string errors = {}) {
  ChildResult result;
  result.exit_code = status;
  result.output = std::move(output);
  result.errors = std::move(errors);
  return result;
}

TEST_CASE("command: an entry runs with its own argv, environment, directory and limits") {
  KindBench bench(kConfig);
  bench.children.end(exited(0, "done\n"));
  CommandHandler handler(bench.deps);
  const Outcome outcome = bench.run(
      handler, R"({"entry":"resize","args":{"width":100,"height":"-20","file":"/data/cat"}})");

  REQUIRE(bench.children.requests.size() == 1);
  const ChildRequest& request = bench.children.requests[0];
  CHECK(request.argv ==
        std::vector<std::string>{"/opt/resize", "--size=100x-20", "--", "/data/cat"});
  CHECK(request.env ==
        std::vector<std::pair<std::string, std::string>>{
            {"LANG", "C"},
            {"GREETING", "two words"},
            {"ROWCREW_IDEMPOTENCY_KEY", "job_queue:018f4e2a-0000-7000-8000-000000000001"}});
  CHECK(request.directory == "/data");
  CHECK(request.timeout == 10s);
  CHECK(request.max_memory_bytes == std::uint64_t{256} << 20);
  CHECK(request.input.empty());
  REQUIRE(std::holds_alternative<Completed>(outcome));
  CHECK(std::get<Completed>(outcome).result == R"({"output":"done\n"})");
}

TEST_CASE("command: a value stays one argument, whatever it holds") {
  KindBench bench(kConfig);
  bench.children.end(exited(0));
  CommandHandler handler(bench.deps);
  bench.run(handler, R"({"entry":"hello","args":{"name":"a b; rm $(x) {name} 'ä'"}})");
  REQUIRE(bench.children.requests.size() == 1);
  CHECK(bench.children.requests[0].argv ==
        std::vector<std::string>{"/usr/bin/printf", "%s", "a b; rm $(x) {name} 'ä'"});
}

TEST_CASE("command: `input` goes to stdin as JSON where the entry takes it") {
  KindBench bench(kConfig);
  bench.children.end(exited(0));
  CommandHandler handler(bench.deps);
  bench.run(handler, R"({"entry":"report","input":{"b":[1,2],"a":null}})");
  CHECK(bench.children.requests.at(0).input == R"({"b":[1,2],"a":null})");
}

TEST_CASE("command: numbers of `input` keep every digit") {
  KindBench bench(kConfig);
  bench.children.end(exited(0));
  CommandHandler handler(bench.deps);
  bench.run(handler, R"({"input": [0.1234567890123456789, 123456789012345678901234], "entry": "report"})");
  CHECK(bench.children.requests.at(0).input == "[0.1234567890123456789,123456789012345678901234]");
}

TEST_CASE("command: the timeout ends with the job's deadline") {
  KindBench bench(kConfig);
  CommandHandler handler(bench.deps);
  const auto timeout = [&](std::chrono::milliseconds left) {
    bench.children.end(exited(0));
    bench.run(handler, R"({"entry":"hello","args":{"name":"x"}})", left);
    return bench.children.requests.back().timeout;
  };
  CHECK(timeout(1h) == 60s);
  CHECK(timeout(5s) == 5s);
  CHECK(timeout(-1s) == 1ms);
}

TEST_CASE("command: a payload that does not fit its entry is refused for good") {
  KindBench bench(kConfig);
  for (const std::string payload :
       {R"({})", R"({"entry":7})", R"({"entry":"hello"})", R"({"entry":"hello","args":[]})",
        R"({"entry":"hello","args":{}})", R"({"entry":"hello","args":{"name":null}})",
        R"({"entry":"hello","args":{"name":true}})", R"({"entry":"hello","args":{"name":1.5}})",
        R"({"entry":"hello","args":{"name":["x"]}})",
        R"({"entry":"hello","args":{"name":"x","more":"y"}})",
        R"({"entry":"hello","args":{"name":"x"},"argv":["/bin/sh"]})",
        R"({"entry":"hello","args":{"name":"x"},"input":1})", R"({"entry":"report"})",
        R"({"entry":"hello","args":{"name":"line\nbreak"}})",
        R"({"entry":"hello","args":{"name":"nul\u0000"}})",
        R"({"entry":"hello","args":{"name":"--help"}})",
        R"({"entry":"resize","args":{"width":"-1","height":"1","file":"/data/a"}})",
        R"({"entry":"resize","args":{"width":"1","height":"1","file":"/data/a/../b"}})",
        R"({"entry":"resize","args":{"width":"1\n","height":"1","file":"/data/a"}})"}) {
    CAPTURE(payload);
    CHECK(refusal(bench, payload) == "bad_payload");
  }
  CHECK(refusal(bench, R"({"entry":"/bin/sh"})") == "unknown_entry");
  CHECK(refusal(bench, R"({"entry":""})") == "unknown_entry");
}

TEST_CASE("command: without an allow-list nothing can be run") {
  KindBench bench("");
  CHECK(refusal(bench, R"({"entry":"hello"})") == "unknown_entry");
}

TEST_CASE("arg rule: the default takes any printable text of up to 200 bytes") {
  const ArgRule rule("", "x");
  CHECK(rule.admits(""));
  CHECK(rule.admits("a b/ü?*"));
  CHECK(rule.admits(std::string(200, 'x')));
  CHECK_FALSE(rule.admits(std::string(201, 'x')));
  CHECK_FALSE(rule.admits("a\tb"));
  CHECK_FALSE(rule.admits("-x"));
  CHECK_FALSE(rule.admits(std::string_view("a\0b", 3)));
}

TEST_CASE("arg rule: a leading dash passes only a pattern that begins with one") {
  CHECK(ArgRule("-?[0-9]+", "x").admits("-5"));
  CHECK(ArgRule("\\-[a-z]", "x").admits("-v"));
  CHECK_FALSE(ArgRule(".*", "x").admits("-5"));
  CHECK_FALSE(ArgRule("[-0-9]+", "x").admits("-5"));
  CHECK(ArgRule("[-0-9]+", "x").admits("5-"));
}

TEST_CASE("arg rule: a pattern that backtracks without end does not stop the daemon") {
  const std::string longest(ArgRule::kMaxBytes, 'a');
  CHECK_FALSE(ArgRule("(a|aa)*b", "x").admits(longest));
  CHECK(ArgRule("((a+)+)+", "x").admits(longest));
  CHECK_FALSE(ArgRule(".*", "x").admits(longest + "a"));
}

TEST_CASE("command: a program that was ended too early is told which of the two limits it was") {
  Entry entry;
  entry.name = "backup";
  entry.timeout = 3h;
  ChildResult result = exited(1, "", "half of it\n");
  result.timed_out = true;
  const auto said = [&](std::chrono::milliseconds left) { return std::get<Retry>(judge(entry, result, left)).message; };
  CHECK(said(4h) == "entry backup: not done within its 10800 s: half of it");
  CHECK(said(600s) == "entry backup: not done within 600 s, all that timeout_ms or total_ms of its job type left of its 10800 s: half of it");
}

TEST_CASE("command: the outcome follows the exit status") {
  Entry entry;
  entry.name = "resize";
  entry.permanent_exits = {2};
  const auto retry = [&](const ChildResult& result) {
    const Outcome outcome = judge(entry, result, 1h);
    REQUIRE(std::holds_alternative<Retry>(outcome));
    return std::get<Retry>(outcome);
  };
  CHECK(std::holds_alternative<Completed>(judge(entry, exited(0), 1h)));
  CHECK(retry(exited(75)).code == "command_tempfail");
  CHECK(retry(exited(1)).code == "command_exit");
  CHECK(retry(exited(1, "", "a\nno space left\n\n")).message ==
        "entry resize: exit status 1: no space left");
  CHECK(retry(exited(1, "", "bad \xff bytes")).message == "entry resize: exit status 1");

  const Outcome failed = judge(entry, exited(2), 1h);
  REQUIRE(std::holds_alternative<Failed>(failed));
  CHECK(std::get<Failed>(failed).code == "command_exit");

  ChildResult killed;
  killed.signal = 9;
  CHECK(retry(killed).code == "command_signal");
  killed.timed_out = true;
  CHECK(retry(killed).code == "command_timeout");
  ChildResult polite = exited(0);
  polite.timed_out = true;
  CHECK(retry(polite).code == "command_timeout");
}

TEST_CASE("command: the result keeps the start of the output, if the database can hold it") {
  const Entry entry;
  const auto kept = [&](const std::string& output) {
    return nlohmann::json::parse(std::get<Completed>(judge(entry, exited(0, output), 1h)).result);
  };
  CHECK(kept("").at("output") == "");
  const auto cut = kept(std::string(4095, 'x') + "ä");  // its second byte would be the 4097th
  CHECK(cut.at("output") == std::string(4095, 'x'));
  CHECK(cut.at("truncated") == true);
  CHECK_FALSE(kept(std::string(4096, 'x')).contains("truncated"));
  CHECK_FALSE(kept("\xff\xfe").contains("output"));
  CHECK_FALSE(kept(std::string("a\0b", 3)).contains("output"));
}

TEST_CASE("command: a program that cannot be run is the runner's error") {
  KindBench bench(kConfig);
  bench.children.fail(PermanentError("child_not_found", "no such program"));
  CommandHandler handler(bench.deps);
  CHECK_THROWS_AS(bench.run(handler, R"({"entry":"hello","args":{"name":"x"}})"), PermanentError);
}

TEST_CASE("command: mistakes in the allow-list are found at start") {
  const auto contains = [](const std::string& text, const char* part) {
    CAPTURE(text);
    CHECK(text.find(part) != text.npos);
  };
  contains(config_error("      timeout: 5s\n"), "broken.argv");
  contains(config_error("      argv: [echo]\n"), "absolute path");
  contains(config_error("      argv: [\"/bin/{x}\"]\n      args: {x: \"\"}\n"), "fixed path");
  contains(config_error("      argv: [/bin/echo, \"{x}\"]\n"), "{x} is not declared");
  contains(config_error("      argv: [/bin/echo]\n      args: {x: \"\"}\n"), "does not use it");
  contains(config_error("      argv: [/bin/echo, \"{x\"]\n"), "no {placeholder}");
  contains(config_error("      argv: [/bin/echo, \"x}\"]\n"), "no {placeholder}");
  contains(config_error("      argv: [/bin/echo, \"{x}\"]\n      args: {x: \"[\"}\n"),
           "no regular expression");
  contains(config_error("      argv: [/bin/echo]\n      directory: data\n"), "absolute path");
  contains(config_error("      argv: [/bin/echo]\n      permanent_exits: [0]\n"), "1 to 255");
  contains(config_error("      argv: [/bin/echo]\n      stdin: file\n"), "stdin");
  CHECK(config_error("      argv: [/bin/echo, \"{{}}\", \"{{{x}}}\"]\n      args: {x: \"\"}\n") ==
        "");
}

TEST_CASE("command: every key is known to the configuration") {
  KindBench bench(kConfig);
  Registry registry;
  register_command(registry, bench.deps);
  CHECK(registry.find("command") != nullptr);
  CHECK_NOTHROW(check_unknown(bench.root));
}

}  // namespace
}  // namespace rowcrew::command
