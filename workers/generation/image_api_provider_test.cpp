#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include <rowcrew/error.hpp>
#include <rowcrew/progress.hpp>
#include <rowcrew/provider_lane.hpp>

#include "gemini_provider.hpp"
#include "openai_provider.hpp"
#include "support/fake_db.hpp"
#include "support/fake_job_transactions.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kConfig = R"(
kinds:
  generation:
    program: /bin/true
    openai:
      api_key: sk-secret
      base_url: https://api.example/v1/
      models: {gpt-image-2: {text_input: 5, image_input: 8, image_output: 30, estimate: 0.04}}
    gemini:
      api_key: AIza-secret
      models: {nano.2: {text_input: 1.5, text_output: 7.5, image_output: 30, estimate: 0.0336}}
)";

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// rowcrew-image as the providers see it: files come and go as they do there.
class ImageChild final : public ChildRunner {
 public:
  boost::asio::awaitable<ChildResult> run(ChildRequest request) override {
    const json order = json::parse(request.input);
    orders.push_back(order);
    ChildResult result;
    if (order.contains("prepare")) {
      std::ofstream(order["part"].get<std::string>()) << "SOURCE";
      result.output = R"({"format":"jpeg","width":4,"height":5,"bytes":6})";
    } else if (order.contains("skim")) {
      const json answer = json::parse(content_of(order["source"].get<std::string>()), nullptr, false);
      result.exit_code = answer.is_object() ? 0 : 3;
      const json failure = {{"error", {{"code", "provider_answer"}, {"message", "is no JSON object"}}}};
      const json report = {{"answer", answer}};
      result.output = answer.is_object() ? report.dump() : failure.dump();
    } else if (order.contains("pointer")) {
      if (!develops.empty()) {
        result = develops.back();
        develops.pop_back();
        co_return result;
      }
      std::ofstream(order["target"].get<std::string>()) << json::parse(content_of(order["source"].get<std::string>())).at(json::json_pointer(order["pointer"].get<std::string>()));
      fs::remove(order["source"].get<std::string>());
      result.output = R"({"format":"png","width":4,"height":5,"sha256":"ab","bytes":10})";
    }
    co_return result;
  }
  std::vector<json> orders;
  std::vector<ChildResult> develops;  ///< how the next ones end instead
};

class KeptProgress final : public JobProgress {
 public:
  void report(const Job&, std::optional<int>, std::optional<std::string>, std::optional<std::string> checkpoint) override {
    if (checkpoint) kept = *checkpoint;
  }
  boost::asio::awaitable<std::string> last_checkpoint(const Job&) override { co_return kept; }
  std::string kept;
};

class NoLease final : public LeaseView {
 public:
  Mono lease_until() const override { return Mono::max(); }
};

class Generating final : public Handler {
 public:
  Generating(Provider& provider, Work work) : provider_(provider), work_(std::move(work)) {}
  boost::asio::awaitable<Outcome> run(JobContext& context) override {
    Work work = work_;
    Outcome outcome = co_await provider_.generate(context, std::move(work));
    co_return outcome;
  }

 private:
  Provider& provider_;
  Work work_;
};

struct Scene {
  explicit Scene(bool of_openai = true) : openai(of_openai), bench(kConfig), transactions(bench.clock) {
    std::string name = "/tmp/rowcrew-images-XXXXXX";
    folder = ::mkdtemp(name.data());
    db.answer = [](const testing::FakeDb::Asked&) { return Rows(1); };
    bench.node = &node;
    bench.job.claim_token = 77;
    work.target = folder + "/a.png";
    work.prompt = "a very secret cat";
    work.workflow = openai ? R"({"model":"gpt-image-2"})" : R"({"model":"nano.2"})";
    start();
  }
  ~Scene() { fs::remove_all(folder); }

  /// A node of its own: what the process knew of lanes is gone.
  void start() { provider = openai ? make_openai_provider(deps) : make_gemini_provider(deps); }
  Outcome run(std::chrono::milliseconds left = 1h) {
    Generating handler(*provider, work);
    return bench.run(handler, "{}", left);
  }
  /// The next execution, after so many more deaths of nodes.
  Outcome again(int crashes = 0) {
    ++bench.job.claim_token;
    bench.job.crashes += crashes;
    return run();
  }
  std::size_t calls() const { return bench.http.requests.size(); }
  /// provider, model, external id, outcome, cost, estimated of each booked call.
  std::vector<std::vector<std::string>> booked() const {
    std::vector<std::vector<std::string>> rows;
    for (const auto& asked : db.asked) {
      const auto& p = asked.params;
      rows.push_back({*p.at(5), *p.at(6), p.at(7).value_or(""), *p.at(8), *p.at(10), *p.at(11)});
    }
    return rows;
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  bool openai;
  std::string folder;
  testing::KindBench bench;
  testing::FakeDb db;
  ImageChild children;
  KeptProgress progress;
  NoLease lease;
  testing::FakeJobTransactions transactions;
  JobContext::Node node{lease, transactions, &progress};
  Deps deps{db, bench.ports, bench.http, bench.mail, children, bench.clock, bench.random, bench.log, bench.kinds};
  Work work;
  std::unique_ptr<Provider> provider;
};

const std::string kOpenai = R"({"data":[{"b64_json":"UElDVFVSRQ=="}],"usage":{"input_tokens":50,"output_tokens":4160,"input_tokens_details":{"text_tokens":50}}})";
const std::string kGemini = R"({"candidates":[{"finishReason":"STOP","content":{"parts":[{"inlineData":{"data":"UElD"}}]}}],"responseId":"r1",
  "usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":1120}})";
const HttpHeaders kRequestId = {{"x-request-id", "req_1"}};

std::string gemini_without(const std::string& finish) {
  return R"({"candidates":[{"finishReason":")" + finish + R"("}],"responseId":"r-)" + finish + R"(","usageMetadata":{"promptTokenCount":100,"totalTokenCount":100}})";
}

std::string error(const std::string& code, const std::string& message = "No.") {
  return R"({"error":{"code":")" + code + R"(","message":")" + message + R"(","type":"x"}})";
}

using Booked = std::vector<std::vector<std::string>>;

std::string failed_code(const Outcome& outcome) {
  const Failed* failed = std::get_if<Failed>(&outcome);
  return failed == nullptr ? "" : failed->code;
}

TEST_CASE("image api: a picture comes out, is booked, and nothing is left beside it") {
  for (const bool openai : {true, false}) {
    Scene scene(openai);
    scene.work.source = "/in/a.jpg";
    scene.bench.http.answer(200, kRequestId, openai ? kOpenai : kGemini);
    const Outcome outcome = scene.run();
    REQUIRE(std::holds_alternative<Completed>(outcome));
    const json result = json::parse(std::get<Completed>(outcome).result);
    CHECK(result["model"] == scene.work.workflow.substr(10, result["model"].get<std::string>().size()));
    CHECK(result["external_id"] == (openai ? "req_1" : "r1"));
    CHECK(scene.booked() == (openai ? Booked{{"openai", "gpt-image-2", "req_1", "done", "125050", "f"}}
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
  CHECK(scene.booked() == Booked{{"openai", "gpt-image-2", "job_queue:018f4e2a-0000-7000-8000-000000000001:1", "done", "40000", "t"}});
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
  CHECK(late.booked() == Booked{{"openai", "gpt-image-2", "req_1", "blocked", "40000", "t"}, {"openai", "gpt-image-2", "req_2", "blocked", "40000", "t"}});
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

TEST_CASE("image api: a call without an answer is booked as lost and repeated once per job, not twice") {
  for (const char* code : {"http_timeout", "http_transfer", "http_disk"}) {
    CAPTURE(code);
    Scene scene;
    scene.bench.http.fail(TransientError(code, "http: /out/.a.png.part"));
    const Outcome first = scene.run();
    REQUIRE(std::holds_alternative<Retry>(first));
    CHECK(std::get<Retry>(first).code == code);
    scene.bench.http.fail(TransientError(code, "http: no"));
    CHECK(failed_code(scene.again()) == "openai_lost");
    CHECK(scene.booked() == Booked{{"openai", "gpt-image-2", "job_queue:018f4e2a-0000-7000-8000-000000000001:1", "lost", "40000", "t"},
                                   {"openai", "gpt-image-2", "job_queue:018f4e2a-0000-7000-8000-000000000001:2", "lost", "40000", "t"}});
    CHECK(scene.calls() == 2);
  }
}

TEST_CASE("image api: an answer of 2xx that is no JSON is lost and asked for once more") {
  Scene scene;
  scene.bench.http.answer(200, kRequestId, R"({"data":[{"b64_js)");
  scene.bench.http.answer(200, kRequestId, kOpenai);
  CHECK(std::holds_alternative<Completed>(scene.run()));
  CHECK(scene.booked().at(0)[3] == "lost");
  CHECK(scene.booked().at(1)[3] == "done");
  CHECK(scene.files() == std::vector<std::string>{"a.png"});
}

TEST_CASE("image api: an answer that a dead node had saved is used, and neither asked for nor booked again") {
  Scene scene;
  scene.bench.http.answer(200, kRequestId, kOpenai);
  ChildResult stopped;
  stopped.exit_code = 4;
  stopped.output = R"({"error":{"code":"disk_full","message":"no room"}})";
  scene.children.develops.push_back(stopped);
  CHECK(std::holds_alternative<Retry>(scene.run()));
  CHECK(scene.files() == std::vector<std::string>{".a.png.77-answer.part"});
  scene.start();
  CHECK(std::holds_alternative<Completed>(scene.again(1)));
  CHECK(scene.calls() == 1);
  CHECK(scene.booked().size() == 1);
  CHECK(scene.files() == std::vector<std::string>{"a.png"});
}

TEST_CASE("image api: a node that died before it told of the answer left it in its part") {
  Scene scene;
  scene.bench.http.fail(std::logic_error("here it dies"));
  CHECK_THROWS_AS(scene.run(), std::logic_error);
  std::ofstream(scene.folder + "/.a.png.77-answer.part") << kOpenai;
  CHECK(std::holds_alternative<Completed>(scene.again(1)));
  CHECK(scene.calls() == 1);
  CHECK(scene.booked() == Booked{{"openai", "gpt-image-2", "job_queue:018f4e2a-0000-7000-8000-000000000001:1", "done", "125050", "f"}});
}

TEST_CASE("image api: half of an answer in the part of a dead node is a lost call") {
  Scene scene;
  scene.bench.http.fail(std::logic_error("here it dies"));
  CHECK_THROWS_AS(scene.run(), std::logic_error);
  std::ofstream(scene.folder + "/.a.png.77-answer.part") << kOpenai.substr(0, 20);
  scene.bench.http.answer(200, kRequestId, kOpenai);
  CHECK(std::holds_alternative<Completed>(scene.again(1)));
  CHECK(scene.calls() == 2);
  CHECK(scene.booked().at(0)[3] == "lost");
}

TEST_CASE("image api: a death that nothing tells about is counted as a lost call, once each") {
  Scene scene;
  scene.bench.http.answer(429, {}, error("rate_limit_exceeded"));
  CHECK(std::holds_alternative<Snooze>(scene.again(1)));
  CHECK(scene.booked().size() == 1);
  CHECK(scene.booked()[0][3] == "lost");
  scene.start();
  scene.bench.http.answer(200, kRequestId, kOpenai);
  CHECK(std::holds_alternative<Completed>(scene.again()));
  CHECK(scene.booked().size() == 2);

  Scene twice;
  twice.bench.http.answer(429, {}, error("rate_limit_exceeded"));
  twice.again(1);
  twice.start();
  CHECK(failed_code(twice.again(1)) == "openai_lost");
  CHECK(twice.calls() == 1);
  CHECK(twice.booked().size() == 2);
}

TEST_CASE("image api: a folder that cannot be written is found out before anything is paid") {
  Scene scene;
  scene.work.target = scene.folder + "/none/a.png";
  CHECK(failed_code(scene.run()) == "output_unwritable");
  CHECK(scene.calls() == 0);
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
  testing::KindBench none("kinds:\n  generation:\n    program: /bin/true\n    openai: {models: {a.b: {estimate: 1}}}\n");
  CHECK(make_openai_provider(none.deps) == nullptr);
  CHECK(make_gemini_provider(none.deps) == nullptr);
  const auto refused = [](const std::string& openai) -> std::string {
    testing::KindBench bench("kinds:\n  generation:\n    program: /bin/true\n    openai: " + openai + "\n");
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
