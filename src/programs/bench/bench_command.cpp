#include "programs/bench/bench_command.hpp"

#include <ostream>
#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "programs/bench/bench_run.hpp"

namespace rowcrew::bench {
namespace {

constexpr std::string_view kText =
    "Measures this database with jobs that do nothing. MODE is one of\n"
    "  drain    jobs are loaded, then a node runs them: jobs/s and their cost\n"
    "  latency  one job at a time to an idle node: from its commit to its handler's start\n"
    "  steady   the same at a rate, in batches every 10 ms\n"
    "  enqueue  no node: rows one by one and in bulk, beside a bare table of the same columns\n"
    "Its jobs are of job type and queue \"bench\" and are deleted at the end, or by the next run. The\n"
    "node is a whole one: it also promotes and rescues what else is in the database.";

/// Deletes also when the run failed; a failure to delete must not hide the run's.
class Forget {
 public:
  explicit Forget(BenchDatabase& database) : database_(database) {}
  ~Forget() {
    if (done_) return;
    try {
      database_.forget();
    } catch (const std::exception&) {
      // The next run deletes what is left.
    }
  }
  void now() {
    done_ = true;
    database_.forget();
  }

 private:
  BenchDatabase& database_;
  bool done_ = false;
};

int run_bench(cli::Invocation& call) {
  cli::Arguments arguments("bench MODE [options]", kText);
  declare_options(arguments);
  if (!arguments.parse(call.args, call.out)) return kExitOk;
  const BenchOptions options = read_options(arguments);
  const auto environment = rowcrew_environment();  // whoever reads secrets first takes them out of it
  const PoolOptions connection = arguments.connection();
  BenchDatabase database(connection);
  if (!options.yes && database.holds_other_jobs()) {
    throw UsageError("bench: job_queue holds other jobs, expected none: --yes measures beside them");
  }
  database.forget();
  Forget forget(database);
  const Figures figures = measure({options, arguments, environment, connection, database});
  forget.now();
  call.out << (options.json ? figures.json() : figures.text());
  return kExitOk;
}

}  // namespace

cli::Command bench_command() { return {"bench", "measure this database with jobs that do nothing", run_bench}; }

}  // namespace rowcrew::bench
