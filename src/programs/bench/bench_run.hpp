// One run of `rowcrew bench`: enqueues, watches, counts. Blocking.
#pragma once

#include "cli/arguments.hpp"
#include "programs/bench/bench_database.hpp"
#include "programs/bench/bench_options.hpp"
#include "programs/bench/figures.hpp"

namespace rowcrew::bench {

struct BenchRun {
  const BenchOptions& options;
  const cli::Arguments& arguments;
  BenchDatabase& database;
};

/// Throws DbError, and TransientError("bench") when a node ended or jobs did not.
Figures measure(BenchRun run);

}  // namespace rowcrew::bench
