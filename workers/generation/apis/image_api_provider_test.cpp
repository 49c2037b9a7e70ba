#include <doctest/doctest.h>

#include <csignal>

#include <set>

#include <rowcrew/error.hpp>
#include <rowcrew/provider_lane.hpp>

#include "workers/generation/generation_handler.hpp"
#include "support/image_api_scene.hpp"

namespace rowcrew::generation {
namespace {

using namespace testing;

TEST_CASE("image api: a picture comes out, is booked, and nothing is left beside it") {
  for (const bool openai : {true, false}) {
    Scene scene(openai);
    scene.work.source = "/in/a.jpg";
    scene.bench.http.answer(200, kRequestId, openai ? kOpenai : kGemini);
    const Outcome outcome = scene.run();
    REQUIRE(std::holds_alternative<Completed>(outcome));
    const json result = json::parse(std::get<Completed>(outcome).result);
    CHECK(result["model"] == scene.work.workflow.substr(10, result["model"].get<std::string>().size()));
    CHECK(result["external_id"] == (openai ? kFirst : "r1"));
    CHECK(result.contains("request_id") == openai);
    CHECK(scene.booked() == (openai ? Booked{{"openai", "gpt-image-2", kFirst, "done", "125050", "f"}}
                                    : Booked{{"gemini", "nano.2", "r1", "done", "33750", "f"}}));
    CHECK(scene.files() == std::vector<std::string>{"a.png"});
    CHECK(scene.children.orders.at(0)["prepare"]["base64"] == !openai);
    CHECK(scene.bench.http.body_of(0).find("SOURCE") != std::string::npos);
    CHECK(scene.bench.http.requests[0].timeout == (openai ? 5min : 3min));
  }
}

TEST_CASE("image api: a call ends with the job's deadline") {
  Scene scene;
  scene.bench.http.answer(200, kRequestId, kOpenai);
  scene.run(5s);
  CHECK(scene.bench.http.requests.at(0).timeout == 5s);
}

TEST_CASE("image api: without usage the estimate is booked, and flagged") {
  Scene scene;
  scene.bench.http.answer(200, {}, R"({"data":[{"b64_json":"UElDVFVSRQ=="}]})");
  CHECK(std::holds_alternative<Completed>(scene.run()));
  CHECK(scene.booked() == Booked{{"openai", "gpt-image-2", kFirst, "done", "40000", "t"}});
}

TEST_CASE("image api: a refused prompt fails at once and costs nothing, one refused after the work is billed and tried once more") {
  Scene scene;
  scene.bench.http.answer(400, kRequestId, error("moderation_blocked"));
  CHECK(failed_code(scene.run()) == "content_policy");
  CHECK(scene.calls() == 1);
  CHECK(scene.booked().empty());

  Scene late;
  const std::string blocked = R"({"error":{"code":"moderation_blocked","moderation_details":{"moderation_stage":"output"}}})";
  late.bench.http.answer(400, kRequestId, blocked);
  late.bench.http.answer(400, {{"x-request-id", "req_2"}}, blocked);
  CHECK(failed_code(late.run()) == "content_policy");
  CHECK(late.calls() == 2);
  CHECK(late.booked() == Booked{{"openai", "gpt-image-2", kFirst, "blocked", "40000", "t"}, {"openai", "gpt-image-2", kSecond, "blocked", "40000", "t"}});
}

TEST_CASE("image api: a withheld picture is tried with another seed, as often as its reason allows, and each try is booked") {
  struct Row {
    const char* finish;
    std::size_t calls;
    const char* code;
  };
  for (const Row& row : {Row{"IMAGE_SAFETY", 2, "content_policy"}, Row{"NO_IMAGE", 3, "gemini_no_picture"}, Row{"MAX_TOKENS", 1, "gemini_cut_off"}}) {
    CAPTURE(row.finish);
    Scene scene(false);
    for (std::size_t i = 0; i < row.calls; ++i) scene.bench.http.answer(200, {}, gemini_without(row.finish));
    CHECK(failed_code(scene.run()) == row.code);
    CHECK(scene.calls() == row.calls);
    CHECK(scene.booked().size() == row.calls);
    CHECK(scene.booked()[0][3] == "blocked");
    CHECK(scene.booked()[0][4] == "150");
    CHECK(scene.files().empty());
    std::set<json> seeds;
    for (const HttpRequest& request : scene.bench.http.requests) seeds.insert(json::parse(request.body)["generationConfig"]["seed"]);
    CHECK(seeds.size() == row.calls);
  }
}

TEST_CASE("image api: too many calls and a refused key cost no attempt, and nobody calls until the wait is over") {
  Scene scene;
  scene.bench.http.answer(429, {{"Retry-After", "20"}}, error("rate_limit_exceeded"));
  const Outcome limited = scene.run();
  REQUIRE(std::holds_alternative<Snooze>(limited));
  CHECK(std::get<Snooze>(limited).after == 20s);
  CHECK(std::holds_alternative<Snooze>(scene.again()));
  CHECK(scene.calls() == 1);
  scene.bench.clock.advance(20s);
  scene.bench.http.answer(401, {}, error("invalid_api_key"));
  CHECK(std::holds_alternative<Snooze>(scene.again()));
  scene.bench.clock.advance(ProviderLane::kFirstShut);
  scene.bench.http.answer(200, kRequestId, kOpenai);
  CHECK(std::holds_alternative<Completed>(scene.again()));
  CHECK(scene.bench.log.lines("provider.closed").size() == 2);
  CHECK(scene.booked().size() == 1);
}

TEST_CASE("image api: a provider that cannot be reached costs neither attempts nor money") {
  for (const char* code : {"http_dns", "http_connect", "http_tls"}) {
    Scene scene;
    scene.bench.http.fail(TransientError(code, "http: no"));
    const Outcome outcome = scene.run();
    REQUIRE(std::holds_alternative<Snooze>(outcome));
    CHECK(scene.booked().empty());
    CHECK(scene.bench.log.lines("provider.closed").at(0).field("code") == "openai_unreachable");
  }
  Scene forbidden;
  forbidden.bench.http.fail(PermanentError("egress_refused", "http: address 127.0.0.1 of host \"x\" is not allowed, allow-list it under egress.allow"));
  const Outcome outcome = forbidden.run();
  REQUIRE(std::holds_alternative<Snooze>(outcome));
  CHECK(std::get<Snooze>(outcome).reason.find("egress.allow") != std::string::npos);
  CHECK(forbidden.bench.log.lines("provider.closed").at(0).level == LogLevel::error);
}

TEST_CASE("image api: a spent budget makes jobs wait without a call, and does not keep back a picture that is paid for") {
  Scene scene;
  bool spent = true;
  scene.db.answer = [&](const rowcrew::testing::FakeDb::Asked& asked) {
    if (asked.name != "provider/budget") return Rows(1);
    CHECK(asked.params.at(0) == "openai");
    if (spent) return rowcrew::testing::one_row({"1000", "1000", "5000", std::nullopt});
    return rowcrew::testing::one_row({"1000", "0", std::nullopt, std::nullopt});
  };
  const Outcome waits = scene.run();
  REQUIRE(std::holds_alternative<Snooze>(waits));
  CHECK(std::get<Snooze>(waits).after == 5s);
  CHECK(scene.calls() == 0);

  spent = false;
  scene.start();
  scene.bench.http.answer(200, {}, R"({"data":[{"b64_json":"PICTURE"}]})");
  ChildResult stopped;
  stopped.signal = SIGTERM;
  stopped.output = "";
  scene.children.develops.push_back(stopped);
  CHECK(std::holds_alternative<Retry>(scene.again()));
  spent = true;
  scene.start();
  CHECK(std::holds_alternative<Completed>(scene.again()));
  CHECK(scene.calls() == 1);
}

TEST_CASE("image api: a folder that cannot be written is found out before anything is paid") {
  Scene scene;
  scene.work.target = scene.folder + "/none/a.png";
  CHECK(failed_code(scene.run()) == "output_unwritable");
  CHECK(scene.calls() == 0);
}

TEST_CASE("image api: steps that cannot finish a picture are found out before it is paid for, once per preset") {
  Scene scene;
  scene.work.workflow = R"({"model":"gpt-image-2","steps":[{"stp":"sharpen"}]})";
  CHECK(failed_code(scene.run()) == "preset_invalid");
  CHECK(scene.calls() == 0);
  scene.work.workflow = R"({"model":"gpt-image-2","steps":[{"step":"sharpen"}]})";
  for (int i = 0; i < 2; ++i) {
    scene.bench.http.answer(200, kRequestId, kOpenai);
    CHECK(std::holds_alternative<Completed>(scene.again()));
  }
  CHECK(std::count_if(scene.children.orders.begin(), scene.children.orders.end(), [](const json& order) { return order.contains("check"); }) == 2);
  CHECK(scene.children.orders.back()["workflow"] == json::parse(R"({"steps":[{"step":"sharpen"}]})"));
}

TEST_CASE("image api: what the provider quotes of the words, and keys, are in no message and no line") {
  Scene scene;
  scene.bench.http.answer(400, {}, error("invalid_value", "cannot draw a very secret cat"));
  const Outcome outcome = scene.run();
  CHECK(failed_code(outcome) == "openai_bad_request");
  CHECK(std::get<Failed>(outcome).message.find("secret") == std::string::npos);
  scene.bench.http.answer(401, {}, error("invalid_api_key", "Incorrect API key provided: sk-secret"));
  scene.again();
  for (const auto& line : scene.bench.log.lines()) {
    CHECK(line.message.find("secret") == std::string::npos);
    for (const auto& [key, value] : line.fields) CHECK(value.find("secret") == std::string::npos);
  }
}

TEST_CASE("image api: without a key there is no provider, a key without prices is a wrong configuration") {
  rowcrew::testing::KindBench none("kinds:\n  generation:\n    program: /bin/true\n    openai: {models: {a.b: {estimate: 1}}}\n");
  CHECK(make_openai_provider(none.deps) == nullptr);
  CHECK(make_gemini_provider(none.deps) == nullptr);
  GenerationHandler handler(none.deps);
  CHECK_NOTHROW(check_unknown(none.root));  // a key may come by a credential that this node has not
  const auto refused = [](const std::string& openai) -> std::string {
    rowcrew::testing::KindBench bench("kinds:\n  generation:\n    program: /bin/true\n    openai: " + openai + "\n");
    try {
      make_openai_provider(bench.deps);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refused("{api_key: k}").find("kinds.generation.openai.models") == 0);
  CHECK(refused("{api_key: 'k k', models: {m: {}}}").find("kinds.generation.openai.api_key") == 0);
  CHECK(refused("{api_key: k, base_url: ftp://x, models: {m: {}}}").find("kinds.generation.openai.base_url") == 0);
  CHECK(refused("{api_key: k, models: {'m/..': {}}}").find("kinds.generation.openai.models.m/..") == 0);
  CHECK(refused("{api_key: k, models: {m: {estimate: cheap}}}").find("kinds.generation.openai.models.m.estimate") == 0);
}

}  // namespace
}  // namespace rowcrew::generation
