// One run of `rowcrew bench`: enqueues, watches, counts. Blocking.
#pragma once

#include <map>
#include <string>

#include "cli/arguments.hpp"
#include "programs/bench/bench_database.hpp"
#include "programs/bench/bench_options.hpp"
#include "programs/bench/figures.hpp"

namespace rowcrew::bench {

struct BenchRun {
  const BenchOptions& options;
  const cli::Arguments& arguments;
  const std::map<std::string, std::string>& environment;  ///< of the process, secrets and all: the node reads them again
  const PoolOptions& connection;
  BenchDatabase& database;
};

/// Throws DbError, and TransientError("bench") when a node ended or jobs did not.
Figures measure(BenchRun run);

}  // namespace rowcrew::bench
