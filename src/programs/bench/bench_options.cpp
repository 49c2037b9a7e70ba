#include "programs/bench/bench_options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <rowcrew/error.hpp>
#include <string_view>
#include <vector>

namespace rowcrew::bench {
namespace {

struct ModeUse {
  std::string_view name;
  Mode mode;
  std::vector<std::string_view> options;
};

const std::array<ModeUse, 4>& modes() {
  static const std::array<ModeUse, 4> kModes = {{
      {"drain", Mode::drain, {"jobs", "slots", "batch"}},
      {"latency", Mode::latency, {"rate", "seconds", "slots"}},
      {"steady", Mode::steady, {"rate", "seconds", "slots"}},
      {"enqueue", Mode::enqueue, {"jobs", "connections", "batch"}},
  }};
  return kModes;
}

const ModeUse& find_mode(const std::string& name) {
  const auto at = std::find_if(modes().begin(), modes().end(), [&](const ModeUse& use) { return use.name == name; });
  if (at != modes().end()) return *at;
  throw UsageError(fmt::format("bench: {}, expected drain, latency, steady or enqueue", name));
}

void refuse_unused(const cli::Arguments& arguments, const ModeUse& use) {
  for (const char* option : {"jobs", "slots", "rate", "seconds", "connections", "batch"}) {
    if (!arguments.has(option) || std::find(use.options.begin(), use.options.end(), option) != use.options.end()) continue;
    throw UsageError(fmt::format("--{}: bench {} has no use for it, expected of {}", option, use.name,
                                 fmt::format("--{}", fmt::join(use.options, ", --"))));
  }
}

}  // namespace

void declare_options(cli::Arguments& arguments) {
  arguments.word("MODE")
      .value("jobs", "N", "drain: 100000; enqueue: 10000")
      .value("slots", "N", "of the node: jobs at a time (500)")
      .value("rate", "N", "jobs per second; latency: 20; steady: 1000")
      .value("seconds", "N", "of latency and steady (10)")
      .value("connections", "N", "enqueue: for rows one by one (4)")
      .value("batch", "N", "rows of one statement in bulk (1000)")
      .flag("json", "one object instead of lines for people")
      .flag("yes", "although other jobs are in job_queue");
}

BenchOptions read_options(const cli::Arguments& arguments) {
  const ModeUse& use = find_mode(arguments.get("MODE", ""));
  refuse_unused(arguments, use);
  BenchOptions options;
  options.mode = use.mode;
  options.slots = arguments.integer("slots", 1, 10'000).value_or(options.slots);
  options.connections = arguments.integer("connections", 1, 64).value_or(options.connections);
  options.batch = arguments.integer("batch", 1, 10'000).value_or(options.batch);
  options.rate = arguments.integer("rate", 1, 100'000).value_or(use.mode == Mode::steady ? 1000 : 20);
  options.jobs = arguments.integer("jobs", 1, 10'000'000).value_or(use.mode == Mode::drain ? 100'000 : 10'000);
  if (use.mode == Mode::latency || use.mode == Mode::steady) {
    options.jobs = options.rate * arguments.integer("seconds", 1, 3600).value_or(10);
  }
  options.json = arguments.has("json");
  options.yes = arguments.has("yes");
  return options;
}

}  // namespace rowcrew::bench
