// The command line of `rowcrew bench`.
#pragma once

#include <cstdint>
#include <string>

#include "cli/arguments.hpp"

namespace rowcrew::bench {

enum class Mode {
  drain,    ///< jobs are there, then a node comes
  latency,  ///< one job at a time, to an idle node
  steady,   ///< a rate, in batches every 10 ms, to an idle node
  enqueue,  ///< no node: what a row costs its application
};

struct BenchOptions {
  Mode mode = Mode::drain;
  std::int64_t jobs = 0;         ///< drain, enqueue: of the option; the others: rate times seconds
  std::int64_t slots = 500;      ///< of the node
  std::int64_t rate = 0;         ///< jobs per second
  std::int64_t connections = 4;  ///< enqueue one by one on so many
  std::int64_t batch = 1000;     ///< rows of one statement in bulk
  bool json = false;
  bool yes = false;              ///< work beside jobs that are not ours
};

void declare_options(cli::Arguments& arguments);
/// After arguments.parse(). Throws UsageError: an unknown mode, a value out of range, an option that
/// the mode has no use for.
BenchOptions read_options(const cli::Arguments& arguments);

}  // namespace rowcrew::bench
