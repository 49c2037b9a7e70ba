#include "image_program.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include <rowcrew/clock.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/log.hpp>
#include <rowcrew/settings.hpp>

#include "image_verdict.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds kClearAwayTimeout = 10s;
constexpr std::size_t kMostReport = std::size_t{16} << 10;
constexpr std::size_t kMostSkimmed = std::size_t{256} << 10;

// Beside the running program, or where the package puts it. What is not there is found out by the
// job that needs it: a node that never generates does without.
std::string find_program() {
  std::error_code error;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const auto beside = here / "rowcrew-image";
  if (::access(beside.c_str(), X_OK) == 0) return beside;
  return here.parent_path() / "libexec/rowcrew/rowcrew-image";
}

std::string read_program(const Settings& generation) {
  const std::string path = generation.text("program", "");
  if (path.empty()) return find_program();
  if (path.front() != '/' || ::access(path.c_str(), X_OK) != 0) {
    throw ConfigError(generation.full("program") + ": " + path +
                      " found, expected the absolute path of a program");
  }
  return path;
}

std::vector<std::pair<std::string, std::string>> environment() {
  std::vector<std::pair<std::string, std::string>> env = {
      {"LC_ALL", "C.UTF-8"}, {"MALLOC_ARENA_MAX", "2"}, {"VIPS_CONCURRENCY", "1"}};
#ifdef ROWCREW_FAULTS
  for (const char* name : {"ROWCREW_IMAGE_FAULT", "ROWCREW_IMAGE_FAULT_FILE"}) {
    if (const char* value = std::getenv(name)) env.emplace_back(name, value);
  }
#endif
  return env;
}

json limits_of(const ImageProgramConfig& config) {
  return {{"max_pixels", config.max_pixels}, {"max_side", config.max_side}, {"max_bytes", config.max_bytes}};
}

json order_of(const Development& order, std::int64_t claim_token) {
  json whole = {{"source", order.source},
                {"part", ImageProgram::part_of(order.target, claim_token)},
                {"target", order.target}};
  if (!order.pointer.empty()) whole["pointer"] = order.pointer;
  if (order.consume) whole["consume"] = true;
  if (!order.format.empty()) whole["format"] = order.format;
  if (!order.workflow.empty()) whole["workflow"] = json::parse(order.workflow);
  return whole;
}

}  // namespace

ImageProgramConfig read_image_program_config(const Settings& generation) {
  constexpr std::uint64_t kMiB = 1U << 20;
  ImageProgramConfig config;
  config.program = read_program(generation);
  config.timeout = generation.duration("timeout", 120s, 1s, 1h);
  config.max_cpu =
      std::chrono::duration_cast<std::chrono::seconds>(generation.duration("max_cpu", 60s, 1s, 1h));
  config.max_memory = generation.bytes("max_memory", 1024 * kMiB, 256 * kMiB, 65536 * kMiB);
  config.max_pixels = static_cast<std::uint64_t>(
      generation.integer("max_pixels", 100'000'000, 1'000'000, 1'000'000'000));
  config.max_side = generation.integer("max_side", 30'000, 1'000, 65'535);
  config.max_bytes = generation.bytes("max_bytes", 100 * kMiB, kMiB, 4096 * kMiB);
  return config;
}

ImageProgram::ImageProgram(const Deps& deps)
    : children_(deps.children),
      clock_(deps.clock),
      config_(read_image_program_config(deps.kinds.section("generation"))),
      env_(environment()) {}

std::string ImageProgram::part_of(const std::string& target, std::int64_t claim_token, const std::string& word) {
  const auto name = target.rfind('/') + 1;
  return target.substr(0, name) + "." + target.substr(name) + "." + std::to_string(claim_token) +
         (word.empty() ? "" : "-") + word + ".part";
}

ChildRequest ImageProgram::request(std::string order, milliseconds timeout) const {
  ChildRequest child({config_.program});
  child.env = env_;
  child.input = std::move(order);
  child.timeout = timeout;
  child.max_memory_bytes = config_.max_memory;
  child.max_cpu = config_.max_cpu;
  child.max_output_bytes = kMostReport;
  return child;
}

// Nullopt: the program is not there.
boost::asio::awaitable<std::optional<ChildResult>> ImageProgram::run(JobContext& context, ChildRequest child) {
  const auto left = std::chrono::duration_cast<milliseconds>(context.deadline() - clock_.mono());
  child.timeout = std::clamp<milliseconds>(left, 1ms, child.timeout);
  std::optional<ChildResult> result;
  try {
    result = co_await children_.run(std::move(child));
  } catch (const PermanentError& error) {
    // An installation that lacks a program is mended by its operator, not by failing every job.
    if (error.code() != "child_not_found" && error.code() != "child_not_executable") throw;
  }
  co_return result;
}

boost::asio::awaitable<Outcome> ImageProgram::develop(JobContext& context, Development order) {
  const Mono began = clock_.mono();
  json whole = order_of(order, context.job().claim_token);
  whole["limits"] = limits_of(config_);
  ChildRequest child = request(whole.dump(), config_.timeout);
  const std::optional<ChildResult> result = co_await run(context, std::move(child));
  if (!result) co_return missing();
  const auto took = std::chrono::duration_cast<milliseconds>(clock_.mono() - began);
  if (ended_abruptly(*result)) co_await clear_away(context, order.target);
  const std::string& picture = order.pointer.empty() ? order.source : order.target;
  co_return judge(*result, picture, order.target, took);
}

boost::asio::awaitable<std::variant<Prepared, Outcome>> ImageProgram::prepare(JobContext& context, Preparation order) {
  using Answer = std::variant<Prepared, Outcome>;
  json how = {{"format", order.format}, {"max_side", order.max_side}, {"base64", order.base64}};
  json whole = {{"prepare", std::move(how)}, {"source", order.source}, {"part", order.to}, {"target", order.target}};
  whole["limits"] = limits_of(config_);
  ChildRequest child = request(whole.dump(), config_.timeout);
  const std::optional<ChildResult> result = co_await run(context, std::move(child));
  if (!result) co_return Answer(missing());
  if (ended_abruptly(*result)) co_await clear_away(context, order.target);
  const std::optional<json> report = report_of(*result);
  if (!report) co_return Answer(judge(*result, order.source, order.target, 0ms));
  Prepared prepared;
  prepared.bytes = report->value("bytes", std::uint64_t{0});
  prepared.width = report->value("width", std::int64_t{0});
  prepared.height = report->value("height", std::int64_t{0});
  co_return Answer(prepared);
}

boost::asio::awaitable<std::variant<json, Outcome>> ImageProgram::skim(JobContext& context, std::string file,
                                                                       std::string target) {
  using Answer = std::variant<json, Outcome>;
  json whole = {{"skim", true}, {"source", file}};
  whole["limits"] = limits_of(config_);
  ChildRequest child = request(whole.dump(), config_.timeout);
  child.max_output_bytes = kMostSkimmed;
  const std::optional<ChildResult> result = co_await run(context, std::move(child));
  if (!result) co_return Answer(missing());
  if (result->output_truncated) {
    co_return Answer(Outcome(Failed("provider_answer", "the provider's answer holds more than 256 KiB beside its pictures")));
  }
  std::optional<json> report = report_of(*result);
  if (!report || !report->contains("answer")) co_return Answer(judge(*result, target, target, 0ms));
  co_return Answer(std::move((*report)["answer"]));
}

boost::asio::awaitable<std::optional<Outcome>> ImageProgram::check(JobContext& context, std::string workflow, std::string target) {
  const json whole = {{"check", true}, {"workflow", json::parse(workflow)}};
  ChildRequest child = request(whole.dump(), config_.timeout);
  const std::optional<ChildResult> result = co_await run(context, std::move(child));
  if (!result) co_return missing();
  if (report_of(*result)) co_return std::nullopt;
  co_return judge(*result, target, target, 0ms);
}

// A program that was killed left its temporary file; what it was about to tell is known already.
boost::asio::awaitable<void> ImageProgram::clear_away(JobContext& context, std::string target) {
  const json whole = {{"clean", true}, {"target", target}};
  ChildRequest child = request(whole.dump(), kClearAwayTimeout);
  std::string problem;
  try {
    const ChildResult result = co_await children_.run(std::move(child));
    if (result.exit_code != 0 || result.signal != 0) problem = "it ended abruptly, too";
  } catch (const Error& error) {
    problem = error.what();
  }
  if (!problem.empty()) {
    context.log().warning("generation.not_cleared", {{"target", base_name(target)}}, problem);
  }
}

}  // namespace rowcrew::generation
