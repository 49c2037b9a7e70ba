// What providers that are an API of pictures need around them, as fakes: an HTTP client, the child program, the ledger, the checkpoint.
#pragma once

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include <rowcrew/progress.hpp>

#include "support/fake_db.hpp"
#include "support/fake_job_transactions.hpp"
#include "support/kind_bench.hpp"
#include "workers/generation/apis/gemini_provider.hpp"
#include "workers/generation/apis/openai_provider.hpp"

namespace rowcrew::generation::testing {

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

inline std::string content_of(const std::string& path) {
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
    if (order.contains("check")) {
      const bool sound = order["workflow"]["steps"][0].contains("step");
      result.exit_code = sound ? 0 : 3;
      result.output = sound ? "{}" : R"({"error":{"code":"preset_invalid","message":"steps[0]: names no step"}})";
    } else if (order.contains("prepare")) {
      std::ofstream(order["part"].get<std::string>()) << "SOURCE";
      result.output = R"({"format":"jpeg","width":4,"height":5,"bytes":6})";
    } else if (order.contains("skim")) {
      const json answer = json::parse(content_of(order["source"].get<std::string>()), nullptr, false);
      result.exit_code = answer.is_object() ? 0 : 3;
      const json failure = {{"error", {{"code", "provider_answer"}, {"message", "is no JSON object"}}}};
      const json report = {{"answer", answer}};
      result.output = answer.is_object() ? report.dump() : failure.dump();
    } else if (order.contains("source")) {
      if (!develops.empty()) {
        result = develops.back();
        develops.pop_back();
        co_return result;
      }
      const std::string held = content_of(order["source"].get<std::string>());
      const bool is_json = order.contains("pointer");
      std::ofstream(order["target"].get<std::string>())
          << (is_json ? json::parse(held).at(json::json_pointer(order["pointer"].get<std::string>())).get<std::string>() : held);
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
    db.answer = [](const rowcrew::testing::FakeDb::Asked&) { return Rows(1); };
    bench.node = &node;
    bench.job.claim_token = 77;
    bench.job.max_attempts = 5;
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
      if (asked.name != "provider/book_call") continue;
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
  rowcrew::testing::KindBench bench;
  rowcrew::testing::FakeDb db;
  ImageChild children;
  KeptProgress progress;
  NoLease lease;
  rowcrew::testing::FakeJobTransactions transactions;
  JobContext::Node node{lease, transactions, &progress};
  Deps deps{db, bench.ports, bench.http, bench.mail, children, bench.clock, bench.random, bench.log, bench.kinds};
  Work work;
  std::unique_ptr<Provider> provider;
};

inline const std::string kOpenai = R"({"data":[{"b64_json":"UElDVFVSRQ=="}],"usage":{"input_tokens":50,"output_tokens":4160,"input_tokens_details":{"text_tokens":50}}})";
inline const std::string kGemini = R"({"candidates":[{"finishReason":"STOP","content":{"parts":[{"inlineData":{"data":"UElD"}}]}}],"responseId":"r1",
  "usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":1120}})";
inline const std::string kFirst = "job_queue:018f4e2a-0000-7000-8000-000000000001:1";
inline const std::string kSecond = "job_queue:018f4e2a-0000-7000-8000-000000000001:2";
inline const HttpHeaders kRequestId = {{"x-request-id", "req_1"}};

inline std::string gemini_without(const std::string& finish) {
  return R"({"candidates":[{"finishReason":")" + finish + R"("}],"responseId":"r-)" + finish + R"(","usageMetadata":{"promptTokenCount":100,"totalTokenCount":100}})";
}

inline std::string error(const std::string& code, const std::string& message = "No.") {
  return R"({"error":{"code":")" + code + R"(","message":")" + message + R"(","type":"x"}})";
}

using Booked = std::vector<std::vector<std::string>>;

inline std::string failed_code(const Outcome& outcome) {
  const Failed* failed = std::get_if<Failed>(&outcome);
  return failed == nullptr ? "" : failed->code;
}

}  // namespace rowcrew::generation::testing
