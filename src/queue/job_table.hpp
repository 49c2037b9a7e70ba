// Everything that a node does to one job table: one method per statement of sql/queries. Statements
// are repeatable, because every write presents its claim token.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/db.hpp>
#include <rowcrew/db_error.hpp>
#include <rowcrew/job.hpp>

#include "pg/statement_template.hpp"
#include "pg/wire.hpp"
#include "queue/job_batch.hpp"
#include "queue/port_catalog.hpp"
#include "queue/table_map.hpp"

namespace rowcrew {

/// A port refused what it was told. The transaction is undone: the job has not ended.
struct PortError : DbError {
  explicit PortError(const DbError& error) : DbError(error) {}
};

/// All calls on the event thread; all throw DbError as Db::run does.
class JobTable {
 public:
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  JobTable(Db& db, TableMap map);
  const std::string& name() const { return name_; }
  /// A job as `why` and `cancel` take it and the log names it: of an adopted table, of which each has a job 7, with its table.
  std::string label(std::string_view id) const { return adopted_ ? name_ + ':' + std::string(id) : std::string(id); }
  /// The table is described anew, by the same name: what is sent from now on goes by `map`.
  void describe(TableMap map);

  /// `taken`, when given, is filled in and must outlive the call.
  Awaitable<std::vector<ClaimedJob>> claim(std::int64_t token, NodeIdentity node, std::vector<ClaimWant> wants,
                                           TakenHints* taken = nullptr);
  /// After 55P03: skips jobs whose rows somebody else holds locked.
  Awaitable<std::vector<ClaimedJob>> claim_unlocked(std::int64_t token, NodeIdentity node, std::vector<ClaimWant> wants,
                                                    TakenHints* taken = nullptr);
  /// As that, and none but these.
  Awaitable<std::vector<ClaimedJob>> claim_listed(std::int64_t token, NodeIdentity node, std::vector<ClaimWant> wants, std::vector<std::string> ids);
  Awaitable<std::vector<ClaimedJob>> claim_suspect(std::int64_t token, NodeIdentity node, std::vector<std::string> queues);
  /// Jobs that one node's death has met, at most one per token, each under a claim of its own. `only`: none but these.
  Awaitable<std::vector<ClaimedJob>> claim_rescued(std::vector<std::int64_t> tokens, NodeIdentity node, std::vector<ClaimWant> wants,
                                                   std::optional<std::vector<std::string>> only = std::nullopt);
  /// The jobs whose hints a claim meets first, in that order: of the ready ones of a queue; of those that deaths have met
  /// once ("rescued") or oftener ("suspect").
  Awaitable<std::vector<std::string>> first_hints(std::string queue, std::size_t most);
  Awaitable<std::vector<std::string>> first_survivors(std::vector<std::string> queues, std::string_view reason, std::size_t most);
  /// A job that cannot be claimed: out of the way of claims for `delay`. `message` says why, to whoever asks.
  Awaitable<void> park_unclaimable(std::string id, std::vector<std::string> queues, std::chrono::milliseconds delay, std::string message);
  /// What a claim did not carry, of a job that runs here: read by itself, so that a claim of many large ones neither
  /// takes long nor fills the memory. Nullopt: the claim was lost. Empty: there is none.
  Awaitable<std::optional<std::string>> payload(const Job& job);
  /// Which jobs that a node's death has met are due, and when the next one is.
  struct Due {
    bool rescued = false;
    bool suspect = false;
    std::optional<std::chrono::milliseconds> next{};
  };
  Awaitable<Due> has_suspect(std::vector<std::string> queues);

  /// Ends and claims in one round trip. Throws DbError and TransientError as the wire does; the parts
  /// may then be sent one by one. What `what` points to must live until the answer is there.
  Awaitable<Exchanged> exchange(Wire& wire, Exchange what);

  /// Both write a batch, sorted by id here, and return the ids that were still ours. `drop`: tokens
  /// whose claim rows go with it.
  Awaitable<std::vector<std::string>> finish_completed(EndedJobs jobs, const std::vector<std::int64_t>& drop);
  Awaitable<std::vector<std::string>> finish_ended(EndedJobs jobs, std::int64_t node_id, const std::vector<std::int64_t>& drop);
  /// Jobs that a port hears of, in the same transaction, each unless its claim was lost; all completed, or none,
  /// and no job twice. `cancelled`, when given, gets those that ended so because a request came first; it must outlive the call.
  /// Throws also PortError. Nothing of it has happened then.
  Awaitable<std::vector<std::string>> finish_reported(EndedJobs jobs, Statement port, std::int64_t node_id, std::vector<std::int64_t> drop,
                                                      std::vector<std::string>* cancelled = nullptr);
  /// Which of these ended under their token although the answer was lost.
  Awaitable<std::vector<std::string>> finish_verify(std::vector<EndedJob> jobs);
  Awaitable<void> park_unserved(std::vector<Job> jobs, std::vector<std::int64_t> drop, std::chrono::milliseconds delay);
  /// Gives back the permits of jobs that have ended while others of their claim still run.
  Awaitable<void> lower_held(std::vector<StillRunning> rows, std::int64_t node_id);
  Awaitable<void> drop_claims(std::vector<std::int64_t> tokens, std::int64_t node_id);

  Awaitable<std::vector<ClaimRow>> own_claims(NodeIdentity node);
  Awaitable<std::size_t> hand_back(std::int64_t token, std::int64_t node_id);
  /// Which of these jobs are no longer ours; (id, what they are now).
  Awaitable<std::vector<LostJob>> lost_running(std::vector<Job> jobs);

  /// Which jobs of a page are rescued: all but some, or (where given) some.
  struct Rescued {
    std::vector<std::string> but;
    std::optional<std::vector<std::string>> only;
  };
  /// The next page of claims of dead nodes, in the order of their tokens. `ports` hear of poison, in
  /// the same transaction. Claims of jobs that are left out stay. Throws also PortError.
  Awaitable<ReapedPage> reap(int max_crashes, std::int64_t after_token, std::shared_ptr<const EndedPorts> ports = nullptr,
                             Rescued which = {});
  /// The jobs of that page.
  Awaitable<std::vector<std::string>> dead_claims(std::int64_t after_token);
  struct Promoted {
    std::size_t jobs = 0;
    std::int64_t last_us = 0;  ///< the time of the last of them, microseconds since the epoch on the database's clock
    std::int64_t seen_us = 0;  ///< with fewer jobs than asked for: up to here nothing is left but what commits late
  };
  /// `from_us`: from where to read, see ParkedMark; nullopt: everything.
  Awaitable<Promoted> promote(std::size_t limit, std::optional<std::int64_t> from_us = std::nullopt);
  /// Milliseconds until the next parked job is due; nullopt when none is parked.
  Awaitable<std::optional<std::chrono::milliseconds>> next_parked(std::optional<std::int64_t> from_us = std::nullopt);

  /// See sql/queries/pulse.sql.
  struct Pulse {
    std::optional<std::chrono::milliseconds> next_parked;
    bool survivors = false;
    bool orphans = false;
    bool ready = false;
  };
  /// `marks`: ten per queue, or none: jobs that were ready before are not looked for.
  Awaitable<Pulse> pulse(std::vector<std::string> queues, std::vector<std::string> marks = {});

  /// How many pages there are to walk, and a number that grows with every change of the table.
  struct Extent {
    std::int64_t pages = 0;
    std::int64_t changes = 0;
  };
  Awaitable<Extent> audit_pages();
  Awaitable<std::vector<std::string>> audit_find(std::int64_t first_page, std::int64_t pages);
  /// Those that had no hint, or ran without a claim, and were filed again. Rows that somebody holds
  /// locked are left for another time.
  Awaitable<std::vector<std::string>> audit_heal(std::vector<std::string> ids);

 private:
  Awaitable<std::vector<ClaimedJob>> run_claim(const Statement& statement, Params params, std::int64_t token,
                                               TakenHints* taken = nullptr);
  Awaitable<std::vector<std::string>> run_ids(const Statement& statement, Params params);

  Db& db_;
  std::string name_;
  bool adopted_;
  StatementSet statements_;
};

}  // namespace rowcrew
