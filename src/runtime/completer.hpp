// The ends of jobs on their way to the database. Batches form by themselves: while one is on its way
// the next one gathers, and the exchanger carries it, together with the next claim. Ends that a port
// hears of are written here, some at once; after a refusal one by one, so that a port which refuses
// spoils no neighbour. Writes are repeated until the database has answered; the fence makes that safe.
// An end whose row refuses it, whatever it says (a trigger or a constraint of the application), is laid
// aside and tried again from time to time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/service.hpp"
#include "base/wide_deque.hpp"
#include "queue/job_table.hpp"
#include "queue/report_batch.hpp"
#include "queue/statement_size.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Completer final : public Service {
 public:
  struct Item {
    EndedJob ended;
    bool maybe_written = false;  ///< a write was sent and its answer lost
    bool port_refused = false;   ///< the port is not asked again
    std::optional<Ending> meant;  ///< the row refused this end; tried now is one that says less, or why
    int refusals = 0;             ///< how often it was laid aside
    int held = 0;                 ///< how often it waited in vain for a row that somebody holds
  };
  /// Ends that travel together. Lives with the exchanger until written() or refused().
  struct Batch {
    std::size_t table = 0;
    Mono sent{};
    std::vector<Item> completed;
    std::vector<Item> ended;
    std::vector<std::int64_t> completed_drop;
    std::vector<std::int64_t> ended_drop;
    std::vector<StillRunning> lowered;
    std::size_t size() const { return completed.size() + ended.size(); }
  };

  explicit Completer(NodeState& state);

  std::string_view name() const override { return "completer"; }
  boost::asio::awaitable<void> run() override;

  void add(std::size_t table, EndedJob ended);
  /// A transaction of the handler has written this end, or found that the claim was lost.
  void settled(std::size_t table, const EndedJob& ended, bool ours);
  /// A table is served or not adopted any more: what is to be written of it goes on, or is lost.
  void tables_changed();
  /// The job ended without anything to write.
  void forget(std::size_t table, const Job& job);
  std::size_t pending() const;
  /// Ends that are about to be written: without those whose rows refuse them, perhaps for long.
  std::size_t under_way() const { return pending() - aside(); }
  /// Ports are told of this queue's ends so slowly that what was run would pile up here: no reason to claim more of it.
  bool behind(std::string_view queue) const;
  /// So many ends of this table are refused, take too long, or wait behind such, that it is not about some of them: no reason to run more.
  bool refused_much(std::size_t table) const;
  /// Whether the end of a job of this claim is still to be written.
  bool holds(std::size_t table, std::int64_t token) const;
  /// Waits until everything is written or `until` has passed; true when nothing is left.
  boost::asio::awaitable<bool> drain(Mono until);

  /// Rung whenever there is something to take().
  void on_batch(std::function<void()> handler) { batch_waits_ = std::move(handler); }
  /// Called for each job that has ended an execution and is to wait for the next.
  void on_parked(std::function<void(const EndedJob&)> handler) { parked_ = std::move(handler); }
  /// Called whenever ends have been written.
  void on_written(std::function<void()> handler) { told_written_ = std::move(handler); }
  /// Called when permits of a table's jobs came back by themselves, with no claim behind them.
  void on_permits(std::function<void(std::size_t table)> handler) { told_permits_ = std::move(handler); }
  std::size_t waiting(std::size_t table) const;
  /// When take() gives something again after a failure.
  Mono not_before() const { return not_before_; }
  /// May be empty.
  std::unique_ptr<Batch> take(std::size_t table);
  void add_to(Exchange& exchange, const Batch& batch) const;
  /// How many jobs of the batch hold permits, per queue.
  Freed freed_by(const Batch& batch) const;
  void written(std::unique_ptr<Batch> batch, const Exchanged& done);
  /// Nothing of it was written, or its answer was lost (error.outcome_unknown()).
  void refused(std::unique_ptr<Batch> batch, const DbError& error);

 private:
  static constexpr std::size_t kMaxBatch = 500;
  static constexpr std::size_t kMostReported = 200;
  static constexpr std::size_t kMostRefused = 200;

  struct Buffer {
    WideDeque<Item> completed;
    WideDeque<Item> ended;
    WideDeque<Item> reported;  ///< of both kinds, each with a port
    std::vector<Item> reporting;
    ReportBatch report_batch;
    Mono probe{};                         ///< when one of those that are held may be tried
    std::size_t on_the_way = 0;           ///< in batches that were taken
    Mono tidied{};                        ///< claim rows were, last
    StatementSize size;                   ///< of batches
    std::size_t batch_limit = kMaxBatch;  ///< 1 while a batch is taken apart after a refusal
    bool ended_first = false;             ///< while it is: of both kinds in turn
    std::vector<std::pair<Mono, Item>> aside;  ///< refused by their rows, or these are held; tried again then
  };

  void file(std::size_t table, Item item);
  void leave(const Batch& batch);
  void give_up(std::size_t table);
  std::optional<Statement> port_of(const Item& item) const;
  bool can_report(std::size_t table) const;
  void held_up(std::size_t table, Item item);
  void release_held(std::size_t table);
  std::vector<Item> take_reported(std::size_t table);
  boost::asio::awaitable<bool> report_some(std::size_t table);
  boost::asio::awaitable<std::vector<std::string>> send_reported(std::size_t table, std::vector<std::int64_t> dropped,
                                                                 std::vector<std::string>& cancelled);
  void settle(std::size_t table, std::vector<Item> batch, const std::vector<std::string>& written,
              const std::vector<std::string>& cancelled, const std::vector<std::int64_t>& dropped);
  boost::asio::awaitable<void> verify_doubtful();
  void put_back(std::size_t table, WideDeque<Item>& queue, std::vector<Item> batch, const DbError& error, bool by_port);
  void port_refused(std::size_t table, Item item, const DbError& error);
  void row_refused(std::size_t table, Item item, const DbError& error);
  void try_aside(bool all);
  std::size_t aside() const;
  void report(std::size_t table, const EndedJob& ended);
  void report_lost(std::size_t table, const EndedJob& ended);
  bool has_tidying(std::size_t table) const;
  bool has_tidying() const;
  Mono tidying_due(std::size_t table) const;
  Mono next_tidying() const;
  boost::asio::awaitable<int> tidy_claims(std::size_t table);

  NodeState& state_;
  std::vector<Buffer> buffers_;
  std::set<const Batch*> batches_;
  std::vector<std::pair<std::size_t, EndedJob>> doubtful_;
  Wake wake_;
  Wake written_;
  bool draining_ = false;
  int failures_ = 0;
  int reporting_failures_ = 0;
  Mono not_before_{};
  std::function<void()> batch_waits_;
  std::function<void()> told_written_;
  std::function<void(std::size_t)> told_permits_;
  std::function<void(const EndedJob&)> parked_;
};

}  // namespace rowcrew
