#include "presets_provider.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include <rowcrew/clock.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/log.hpp>
#include <rowcrew/settings.hpp>

#include "image_verdict.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds kClearAwayTimeout = 10s;

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

std::string part_of(const std::string& target, std::int64_t claim_token) {
  const auto name = target.rfind('/') + 1;
  return target.substr(0, name) + "." + target.substr(name) + "." + std::to_string(claim_token) +
         ".part";
}

}  // namespace

PresetsConfig read_presets_config(const Settings& generation) {
  constexpr std::uint64_t kMiB = 1U << 20;
  PresetsConfig config;
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

PresetsProvider::PresetsProvider(const Deps& deps)
    : children_(deps.children),
      clock_(deps.clock),
      log_(deps.log),
      config_(read_presets_config(deps.kinds.section("generation"))),
      env_(environment()) {}

ChildRequest PresetsProvider::request(std::string input, milliseconds timeout) const {
  ChildRequest child({config_.program});
  child.env = env_;
  child.input = std::move(input);
  child.timeout = timeout;
  child.max_memory_bytes = config_.max_memory;
  child.max_cpu = config_.max_cpu;
  child.max_output_bytes = std::size_t{16} << 10;
  return child;
}

std::string PresetsProvider::order(const Work& work, std::int64_t claim_token) const {
  json limits = {{"max_pixels", config_.max_pixels},
                 {"max_side", config_.max_side},
                 {"max_bytes", config_.max_bytes}};
  json whole = {{"source", work.source},
                {"part", part_of(work.target, claim_token)},
                {"target", work.target},
                {"workflow", json::parse(work.workflow)},
                {"limits", std::move(limits)}};
  return whole.dump();
}

boost::asio::awaitable<Outcome> PresetsProvider::generate(JobContext& context, Work work) {
  const Mono began = clock_.mono();
  const auto left = std::chrono::duration_cast<milliseconds>(context.deadline() - began);
  ChildRequest child = request(order(work, context.job().claim_token),
                               std::clamp<milliseconds>(left, 1ms, config_.timeout));
  ROWCREW_FAULT_POINT("generation.starting");
  std::optional<ChildResult> result;
  try {
    result = co_await children_.run(std::move(child));
  } catch (const PermanentError& error) {
    // An installation that lacks a program is mended by its operator, not by failing every job.
    if (error.code() != "child_not_found" && error.code() != "child_not_executable") throw;
  }
  if (!result) {
    co_return Outcome(Retry("decoder_missing", "rowcrew-image: is not installed beside this node"));
  }
  const auto took = std::chrono::duration_cast<milliseconds>(clock_.mono() - began);
  if (ended_abruptly(*result)) co_await clear_away(work.target);
  ROWCREW_FAULT_POINT("generation.done");
  context.log().debug("generation.ended", {{"preset", work.preset}, {"took_ms", took.count()}});
  co_return judge(*result, work, took);
}

// A program that was killed left its temporary file; what it was about to tell is known already.
boost::asio::awaitable<void> PresetsProvider::clear_away(std::string target) {
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
    log_.warning("generation.not_cleared", {{"target", base_name(target)}}, problem);
  }
}

}  // namespace rowcrew::generation
