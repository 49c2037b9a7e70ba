#include "image_program.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include "support/kind_bench.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr const char* kConfig = "kinds:\n  generation:\n    program: /bin/true\n    max_bytes: 20MiB\n";

ChildResult printed(std::string output, int status = 0) {
  ChildResult result;
  result.exit_code = status;
  result.output = std::move(output);
  return result;
}

/// Runs one call of ImageProgram as a provider would, in a handler.
template <class Call>
class Calling final : public Handler {
 public:
  Calling(const Deps& deps, Call call) : images_(deps), call_(std::move(call)) {}
  boost::asio::awaitable<Outcome> run(JobContext& context) override { return call_(images_, context); }

 private:
  ImageProgram images_;
  Call call_;
};

template <class Call>
Outcome called(testing::KindBench& bench, Call call) {
  bench.job.claim_token = 77;
  Calling<Call> handler(bench.deps, std::move(call));
  return bench.run(handler, "{}");
}

json order(const testing::KindBench& bench, std::size_t which = 0) { return json::parse(bench.children.requests.at(which).input); }

boost::asio::awaitable<Outcome> develop_from_answer(ImageProgram& images, JobContext& context) {
  Development what;
  what.source = ImageProgram::part_of("/out/a.png", 77, "answer");
  what.pointer = "/data/0/b64_json";
  what.consume = true;
  what.target = "/out/a.png";
  what.format = "png";
  co_return co_await images.develop(context, std::move(what));
}

TEST_CASE("image program: a picture inside of an answer is pointed at, and the answer goes when it is done") {
  testing::KindBench bench(kConfig);
  bench.children.end(printed(R"({"format":"png","width":4,"height":5,"sha256":"ab","bytes":10})"));
  const Outcome outcome = called(bench, develop_from_answer);
  CHECK(std::holds_alternative<Completed>(outcome));
  const json asked = order(bench);
  CHECK(asked["source"] == "/out/.a.png.77-answer.part");
  CHECK(asked["part"] == "/out/.a.png.77.part");
  CHECK(asked["pointer"] == "/data/0/b64_json");
  CHECK(asked["consume"] == true);
  CHECK(asked["format"] == "png");
  CHECK_FALSE(asked.contains("workflow"));
}

boost::asio::awaitable<Outcome> prepare_text(ImageProgram& images, JobContext& context) {
  Preparation what;
  what.source = "/in/a.jpg";
  what.target = "/out/a.jpg";
  what.to = ImageProgram::part_of("/out/a.jpg", 77, "source");
  what.max_side = 1024;
  what.base64 = true;
  std::variant<Prepared, Outcome> prepared = co_await images.prepare(context, std::move(what));
  if (auto* refused = std::get_if<Outcome>(&prepared)) co_return std::move(*refused);
  const Prepared& done = std::get<Prepared>(prepared);
  co_return Outcome(Completed(std::to_string(done.bytes) + " " + std::to_string(done.width) + " " + std::to_string(done.height)));
}

TEST_CASE("image program: what is shown to a provider is prepared, and a source that is at fault fails the job") {
  testing::KindBench bench(kConfig);
  bench.children.end(printed(R"({"format":"jpeg","width":1024,"height":768,"bytes":4000})"));
  CHECK(std::get<Completed>(called(bench, prepare_text)).result == "4000 1024 768");
  CHECK(order(bench)["prepare"] == json::parse(R"({"format":"jpeg","max_side":1024,"base64":true})"));
  CHECK(order(bench)["part"] == "/out/.a.jpg.77-source.part");

  testing::KindBench damaged(kConfig);
  damaged.children.end(printed(R"({"error":{"code":"image_corrupt","message":"a.jpg: is damaged"}})", 3));
  CHECK(std::get<Failed>(called(damaged, prepare_text)).code == "image_corrupt");
}

boost::asio::awaitable<Outcome> skim_answer(ImageProgram& images, JobContext& context) {
  std::variant<json, Outcome> seen = co_await images.skim(context, "/out/.a.png.77-answer.part", "/out/a.png");
  if (auto* refused = std::get_if<Outcome>(&seen)) co_return std::move(*refused);
  co_return Outcome(Completed(std::get<json>(seen).dump()));
}

TEST_CASE("image program: an answer is read without its pictures, and one that is too much of something else fails") {
  testing::KindBench bench(kConfig);
  bench.children.end(printed(R"({"answer":{"data":[{"b64_json":{"$bytes":5000}}]}})"));
  CHECK(std::get<Completed>(called(bench, skim_answer)).result == R"({"data":[{"b64_json":{"$bytes":5000}}]})");

  testing::KindBench chatty(kConfig);
  ChildResult cut = printed("{");
  cut.output_truncated = true;
  chatty.children.end(cut);
  CHECK(std::get<Failed>(called(chatty, skim_answer)).code == "provider_answer");

  testing::KindBench without(kConfig);
  without.children.fail(PermanentError("child_not_found", "no such program"));
  CHECK(std::get<Retry>(called(without, skim_answer)).code == "decoder_missing");
}

}  // namespace
}  // namespace rowcrew::generation
