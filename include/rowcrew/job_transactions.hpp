// Work inside the database that happens exactly once: one transaction that first ends the job under its
// fence, then does the work, and commits both or neither. JobContext::transactions() gives it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <rowcrew/db.hpp>
#include <rowcrew/job.hpp>
#include <rowcrew/outcome.hpp>

namespace rowcrew {

/// A function of the application that is the whole work of a job.
struct SqlFunction {
  std::string schema;
  std::string name;
  bool takes_id = false;        ///< (uuid, jsonb): the job's id (an adopted table's: rowcrew.job_uuid() of it) and args; else (jsonb): args alone
  bool returns_result = false;  ///< jsonb, which becomes the job's result; else void
};

/// Event thread only; runs on the handlers' connections, under the node's role.
///
/// Every statement runs with a statement_timeout below what is left of the node's lease and of the
/// execution's deadline, so that no transaction outlives the claim. When nothing is left: TransientError
/// ("too_late"). Calls of functions that return void may go behind each other on one connection while they
/// are short: should one in front take long after all, that timeout begins with its end, and a claim that is
/// lost by then is refused as any other. The port "<job type>_ended", events and statistics are as for any job
/// that completes; a port that refuses undoes the transaction: PermanentError or BugError ("port_failed").
/// Should the answer to COMMIT be lost, the job's row is asked: it tells by its claim token whether the
/// transaction happened.
///
/// Cancellation is seen before and after, never while the database works: a transaction that has
/// committed returns Settled, whatever was asked meanwhile. Return that to the runtime.
class JobTransactions {
 public:
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  virtual ~JobTransactions() = default;

  /// Ends the job as completed, then runs `work(Tx&)`, which returns nothing or the job's result as JSON
  /// text (empty: none). Follow-up jobs: enqueue.hpp. `work` follows the rules of Db::run: it captures
  /// values, runs on a database thread, once at most, and does not run when the claim is lost. Name it
  /// before awaiting. Its statements are planned as ours, nested loops over indexes: after SELECT
  /// rowcrew.plan_as_usual() as in any other session, until the transaction ends.
  ///
  /// Throws, with everything undone: what `work` throws; DbError.
  template <class F>
  Awaitable<Settled> complete(JobContext& context, F work) {
    std::function<std::string(Tx&)> erased;
    if constexpr (std::is_void_v<std::invoke_result_t<F&, Tx&>>) {
      erased = [work = std::move(work)](Tx& tx) mutable { work(tx); return std::string(); };
    } else {
      erased = std::move(work);
    }
    co_return co_await complete_with(context, std::move(erased));
  }

  /// Ends these jobs, all of one table, as completed and calls the function for each whose claim stands,
  /// with payload.args ({} when absent) as it is stored: all or nothing, in one statement where the
  /// function returns void. `within` bounds the transaction beside lease and deadlines. Returns one for
  /// each, in their order. `jobs` must stay alive until then.
  ///
  /// Throws, with everything undone: DbError.
  virtual Awaitable<std::vector<Settled>> call(SqlFunction function, std::vector<JobContext*> jobs,
                                               std::chrono::milliseconds within) = 0;

 protected:
  virtual Awaitable<Settled> complete_with(JobContext& context, std::function<std::string(Tx&)> work) = 0;
  static Settled settled(bool ours) { return Settled(ours); }
};

}  // namespace rowcrew
