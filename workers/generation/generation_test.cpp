#include <doctest/doctest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/registry.hpp>

#include "generation_handler.hpp"
#include "generation_input.hpp"
#include "image_verdict.hpp"
#include "image_program.hpp"
#include "support/fake_db.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::FakeDb;
using testing::KindBench;

constexpr const char* kConfig = R"(
kinds:
  generation:
    program: /bin/true
    timeout: 90s
    max_memory: 512MiB
    max_cpu: 30s
    max_pixels: 50000000
    max_side: 20000
    max_bytes: 20MiB
)";

constexpr const char* kInput = R"({"source":"/in/a b.jpg","target":"/out/a b.jpg",
  "preset":{"name":"portrait_pro","workflow":{"steps":[{"step":"sharpen"}]}}})";

constexpr const char* kReport = R"({"format":"jpeg","width":4,"height":5,"source_width":8,
  "source_height":8,"sha256":"ab","bytes":10,"icc":true})";

ChildResult exited(int status, std::string output = {}, std::string errors = {}) {
  ChildResult result;
  result.exit_code = status;
  result.output = std::move(output);
  result.errors = std::move(errors);
  return result;
}

ChildResult killed(int signal, std::string errors = {}) {
  ChildResult result = exited(0, "", std::move(errors));
  result.signal = signal;
  return result;
}

/// A bench whose database answers the port with `answer`.
struct Scene {
  explicit Scene(std::optional<std::string> answer) : bench(kConfig) {
    db.answer = [answer](const FakeDb::Asked&) { return testing::one_row({answer}); };
    bench.job.claim_token = 77;
  }
  Outcome run(const std::string& payload = R"({"provider":"presets"})",
              std::chrono::milliseconds left = 1h) {
    GenerationHandler handler(deps);
    return bench.run(handler, payload, left);
  }

  KindBench bench;
  FakeDb db;
  Deps deps{db,          bench.ports,  bench.http, bench.mail, bench.children,
            bench.clock, bench.random, bench.log,  bench.kinds};
};

std::string failed_code(const Outcome& outcome) {
  const Failed* failed = std::get_if<Failed>(&outcome);
  return failed == nullptr ? "" : failed->code;
}

std::string retry_code(const Outcome& outcome) {
  const Retry* retry = std::get_if<Retry>(&outcome);
  return retry == nullptr ? "" : retry->code;
}

TEST_CASE("generation: the port's answer becomes one request to the program, with limits") {
  Scene scene(kInput);
  scene.bench.children.end(exited(0, kReport));
  const Outcome outcome = scene.run();

  REQUIRE(scene.db.asked.size() == 1);
  CHECK(scene.db.asked[0].name == "generation_input");
  CHECK(scene.db.asked[0].params.at(0) == scene.bench.job.id);
  REQUIRE(scene.bench.children.requests.size() == 1);
  const ChildRequest& request = scene.bench.children.requests[0];
  CHECK(request.argv == std::vector<std::string>{"/bin/true"});
  CHECK(request.timeout == 90s);
  CHECK(request.max_cpu == 30s);
  CHECK(request.max_memory_bytes == std::uint64_t{512} << 20);
  CHECK(request.env == std::vector<std::pair<std::string, std::string>>{{"LC_ALL", "C.UTF-8"},
                                                                        {"MALLOC_ARENA_MAX", "2"},
                                                                        {"VIPS_CONCURRENCY", "1"}});
  const json order = json::parse(request.input);
  CHECK(order["source"] == "/in/a b.jpg");
  CHECK(order["target"] == "/out/a b.jpg");
  CHECK(order["part"] == "/out/.a b.jpg.77.part");
  CHECK(order["workflow"] == json::parse(R"({"steps":[{"step":"sharpen"}]})"));
  CHECK(order["limits"] ==
        json::parse(R"({"max_pixels":50000000,"max_side":20000,"max_bytes":20971520})"));
  REQUIRE(std::holds_alternative<Completed>(outcome));
  CHECK(json::parse(std::get<Completed>(outcome).result) == json::parse(R"({"target":"/out/a b.jpg",
    "format":"jpeg","width":4,"height":5,"sha256":"ab","bytes":10,"took_ms":0})"));
}

TEST_CASE("generation: the timeout ends with the job's deadline") {
  Scene scene(kInput);
  scene.bench.children.end(exited(0, kReport));
  scene.run(R"({"provider":"presets"})", 5s);
  CHECK(scene.bench.children.requests.at(0).timeout == 5s);
}

TEST_CASE("generation: another provider is refused before the port is asked") {
  for (const char* payload : {R"({})", R"({"provider":null})", R"({"provider":"nobody"})"}) {
    Scene scene(kInput);
    CHECK(failed_code(scene.run(payload)) == "provider_unknown");
    CHECK(scene.db.asked.empty());
  }
}

TEST_CASE("generation: what the application refuses fails with its words, what must wait waits") {
  Scene refused(R"({"refuse":{"code":"credits_used_up","message":"No credits are left."}})");
  const Outcome failed = refused.run();
  REQUIRE(failed_code(failed) == "credits_used_up");
  CHECK(std::get<Failed>(failed).message == "No credits are left.");

  Scene waiting(R"({"wait_ms":1500,"why":"the folder is busy"})");
  const Outcome snoozed = waiting.run();
  REQUIRE(std::holds_alternative<Snooze>(snoozed));
  CHECK(std::get<Snooze>(snoozed).after == 1500ms);
  CHECK(std::get<Snooze>(snoozed).reason == "the folder is busy");

  Scene unknown(std::nullopt);
  CHECK(failed_code(unknown.run()) == "job_unknown");
}

TEST_CASE(
    "generation input: paths that name no file are the payload's fault, all else the port's") {
  const auto code = [](const std::string& answer) -> std::string {
    try {
      parse_input(answer);
    } catch (const Error& error) {
      return error.code();
    }
    return "";
  };
  const std::string preset = R"(,"preset":{"name":"p","workflow":{}}})";
  CHECK(code(R"({"source":"/a/b","target":"/a/c")" + preset).empty());
  for (const char* paths :
       {R"({"source":"a/b","target":"/a/c")", R"({"source":"/a/b","target":"")",
        R"({"source":"/a/b","target":"/a/")", R"({"source":"/a/b","target":null)",
        R"({"source":"/a\u0000/b","target":"/a/c")", R"({"source":7,"target":"/a/c")", R"({"source":"/a/b")"}) {
    CAPTURE(paths);
    CHECK(code(paths + preset) == "bad_payload");
  }
  for (const char* answer : {"", "[]", "null", R"({"source":"/a/b","target":"/a/c"})",
                             R"({"refuse":{}})", R"({"refuse":"no"})", R"({"wait_ms":"soon"})"}) {
    CAPTURE(answer);
    CHECK(code(answer) == "port_answer");
  }
}

TEST_CASE("generation: the end of the program decides, with a code for every cause") {
  const auto verdict = [](const ChildResult& result) { return judge(result, "/in/cat.jpg", "/out/cat.jpg", 12ms); };
  CHECK(failed_code(verdict(killed(SIGSEGV))) == "decoder_crashed");
  CHECK(failed_code(verdict(killed(SIGBUS))) == "decoder_crashed");
  CHECK(failed_code(verdict(killed(SIGABRT))) == "decoder_crashed");
  CHECK(failed_code(verdict(killed(SIGXCPU))) == "decoder_timeout");
  CHECK(failed_code(verdict(killed(SIGKILL))) == "decoder_memory");
  CHECK(failed_code(
            verdict(killed(SIGTRAP, "GLib-ERROR **: gmem.c:130: failed to allocate 9 bytes"))) ==
        "decoder_memory");
  CHECK(failed_code(verdict(killed(SIGABRT, "terminate called ... std::bad_alloc"))) ==
        "decoder_memory");
  CHECK(retry_code(verdict(killed(SIGTERM))) == "decoder_stopped");
  ChildResult late = killed(SIGTERM);
  late.timed_out = true;
  CHECK(failed_code(verdict(late)) == "decoder_timeout");
  ChildResult polite = exited(0, kReport);
  polite.timed_out = true;
  CHECK(failed_code(verdict(polite)) == "decoder_timeout");

  const std::string error = R"({"error":{"code":"image_corrupt","message":"cat.jpg: is damaged"}})";
  const Outcome corrupt = verdict(exited(3, error));
  REQUIRE(failed_code(corrupt) == "image_corrupt");
  CHECK(std::get<Failed>(corrupt).message == "cat.jpg: is damaged");
  CHECK(retry_code(verdict(exited(4, error))) == "image_corrupt");
  for (const ChildResult& odd :
       {exited(0, ""), exited(0, "{}"), exited(0, error), exited(3, ""), exited(3, kReport),
        exited(4, R"({"error":{"code":"","message":"x"}})"), exited(3, "{\"error\":7}"),
        exited(1, error), exited(0, std::string(kReport) + "more"), exited(127)}) {
    CAPTURE(odd.output);
    CHECK(failed_code(verdict(odd)) == "decoder_crashed");
  }
  CHECK(failed_code(verdict(exited(127, "", "libvips.so.42: failed to map segment"))) ==
        "decoder_memory");
}

TEST_CASE("generation: a message holds the file's name, never its path, and is storable") {
  const std::string odd = std::string("/home/ann/private/cat\n") + std::string(1, '\0') + ".jpg";
  const Outcome outcome = judge(killed(SIGSEGV), odd, "/out/cat.jpg", 1ms);
  const std::string message = std::get<Failed>(outcome).message;
  CHECK(message.starts_with("cat  .jpg: "));
  CHECK(message.find("private") == message.npos);
}

TEST_CASE("generation: after a program that was killed another one clears away") {
  Scene scene(kInput);
  scene.bench.children.end(killed(SIGKILL));
  scene.bench.children.end(exited(0, "{}"));
  CHECK(failed_code(scene.run()) == "decoder_memory");
  REQUIRE(scene.bench.children.requests.size() == 2);
  CHECK(json::parse(scene.bench.children.requests[1].input) ==
        json::parse(R"({"clean":true,"target":"/out/a b.jpg"})"));
}

TEST_CASE("generation: what cannot be cleared away changes no verdict") {
  Scene scene(kInput);
  scene.bench.children.end(killed(SIGSEGV));
  scene.bench.children.fail(TransientError("child_spawn", "no process could be had"));
  CHECK(failed_code(scene.run()) == "decoder_crashed");
}

TEST_CASE("generation: a node without the program leaves the job for later") {
  Scene scene(kInput);
  scene.bench.children.fail(PermanentError("child_not_found", "no such program"));
  CHECK(retry_code(scene.run()) == "decoder_missing");
}

TEST_CASE(
    "generation: every key is known to the configuration, and wrong values are found at start") {
  KindBench bench(kConfig);
  Registry registry;
  register_generation(registry, bench.deps);
  CHECK(registry.find("generation") != nullptr);
  CHECK_NOTHROW(check_unknown(bench.root));

  for (const char* line :
       {"program: rowcrew-image", "program: /no/such", "timeout: 90", "max_memory: 1MiB",
        "max_pixels: 0", "max_side: 70000", "max_cpu: 0s", "max_bytes: 1"}) {
    CAPTURE(line);
    const auto settings = testing::settings_from("generation:\n  " + std::string(line) + "\n");
    CHECK_THROWS_AS(read_image_program_config(settings.section("generation")), ConfigError);
  }
}

}  // namespace
}  // namespace rowcrew::generation
