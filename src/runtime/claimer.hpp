// What to claim and when: woken by notifications and freed slots, paced by ClaimPacer, ahead of the
// slots by what Prefetch says. The exchanger carries the claims; jobs that a node's death has met are
// claimed here, one by one.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/service.hpp"
#include "queue/claim_pacer.hpp"
#include "queue/limited_pacer.hpp"
#include "queue/prefetch.hpp"
#include "queue/statement_size.hpp"
#include "queue/suspect_pacer.hpp"
#include "queue/watermarks.hpp"
#include "runtime/executor.hpp"
#include "runtime/intake.hpp"
#include "runtime/local_jobs.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

/// A claim on its way.
struct ClaimPlan {
  std::size_t table = 0;
  std::int64_t token = 0;
  NodeIdentity node;
  std::vector<ClaimWant> wants;  ///< none: then of limited jobs alone
  std::vector<LimitedWant> limited;
  std::vector<std::int64_t> limited_tokens;
  std::uint64_t resets = 0;  ///< of the table's marks, when it was sent
  bool wide = true;    ///< allows for hints that were committed late
  Mono sent{};
  ClaimPacer::Moment moment = 0;
  std::shared_ptr<const void> on_its_way;  ///< while any is held, a claim is
};

class Claimer final : public Service {
 public:
  Claimer(NodeState& state, Executor& executor, Completer& completer, Intake& intake);

  std::string_view name() const override { return "claimer"; }
  /// Suspects, jobs that have waited here for too long, types that nobody here serves.
  boost::asio::awaitable<void> run() override;

  /// Work was announced, or something that claiming depends on has changed. In one table, or (no
  /// name) in any.
  void wake(std::string_view table = {});
  /// Nothing was announced: a look because nobody would.
  void look_around();
  void slot_freed(std::string_view queue, MonoClock::duration ran);
  /// After a reconnect: look once without marks.
  void look_everywhere();
  /// Jobs that a node's death has met are due somewhere.
  void look_for_survivors();
  /// There may be another leader than before, or none: polls of the tables that it sees to are rare.
  void follow_leader();
  /// From where on jobs may wait that no sweep is needed to find: ten per queue, see Watermarks.
  std::vector<std::string> marks(std::size_t table, const std::vector<std::string>& queues) const;
  /// No claim is on its way and no queue is known to hold more.
  bool quiet() const;
  /// A claim is on its way, or jobs were claimed of which it is not decided yet whether they start here.
  bool under_way() const { return on_their_way_.use_count() > 1 || !intake_.empty() || !unserved_.empty(); }
  /// Whether a claim gave a job since this was last asked.
  bool found_something() { return std::exchange(found_something_, false); }
  /// Called when a claim has found less than it asked for.
  void on_short(std::function<void()> handler) { short_ = std::move(handler); }
  /// Called when a claim was given all that it asked for: there may be more.
  void on_filled(std::function<void()> handler) { filled_ = std::move(handler); }
  /// Called when nobody knows whether a claim was made: its answer was lost.
  void on_unknown(std::function<void()> handler) { unknown_ = std::move(handler); }
  /// Ends have been written: that of a suspect may be among them.
  void ends_written();
  /// The lease is over: what waits here is somebody else's soon.
  void forget_local();
  /// The node stops: what has not started goes back.
  void hand_back_local();
  /// There may be other rules about limits than before.
  void limits_changed();
  /// An end has given permits back, and they went to nobody.
  void permits_freed(std::size_t table, std::string_view queue);
  /// As that, in whatever queues.
  void permits_freed(std::size_t table);
  /// Other queues are paused than before: what waits here of them goes back.
  void pauses_changed();
  const LocalJobs& local() const { return local_; }
  /// A job that waits here is no longer ours. False: it does not wait here.
  bool drop_local(std::size_t table, std::int64_t token, std::string_view id);
  /// Ends a job that waits here, unstarted. False: it does not wait here.
  bool end_local(std::size_t table, const std::string& id, const Outcome& outcome);
  /// What the intake has let through.
  void start_sifted(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed);
  /// The last claims of all tables found nothing, and nothing runs or waits to be written.
  bool drained() const;
  /// Whether any of this node's open queues is full: work that is announced may be another node's.
  bool full() const;

  /// Rung whenever plan() may have something to say.
  void on_due(std::function<void()> handler) { due_rung_ = std::move(handler); }
  /// When a claim of this table is due; Mono::max() while nothing may be claimed.
  Mono due(std::size_t table) const;
  /// How many jobs a claim of this table would ask for.
  std::size_t room(std::size_t table) const;
  /// A claim to be sent now; null when none is due. `freed`: by the ends that go along.
  std::unique_ptr<ClaimPlan> plan(std::size_t table, const Freed& freed);
  void answered(std::unique_ptr<ClaimPlan> plan, Exchanged done);
  void refused(std::unique_ptr<ClaimPlan> plan, const Error& error);

 private:
  struct Table {
    Table(ClaimPacer p, LimitedPacer l) : pacer(std::move(p)), limited(std::move(l)), marks(Watermarks::Options{}) {}
    ClaimPacer pacer;
    LimitedPacer limited;
    Watermarks marks;
    StatementSize size;  ///< of its claims
    bool rests = false;  ///< somebody else makes sure that nothing is missed
    bool found_nothing = false;
    bool filled = false;  ///< the last claim was, in every queue
    std::size_t refusals = 0;  ///< of claims since the last that was not, each perhaps because of one job
    bool searching = false;    ///< for that job; nothing else is claimed meanwhile
    std::size_t rescued_refusals = 0;
    bool rescued_searching = false;
  };
  enum class Hints { ready, rescued };
  struct Queue {
    explicit Queue(Prefetch p) : prefetch(p) {}
    std::size_t slots = 0;
    bool others = true;  ///< the last claim of jobs that no rule is about found some
    std::size_t asked = 0;  ///< in claims on their way
    Prefetch prefetch;
  };

  boost::asio::awaitable<void> step();
  boost::asio::awaitable<void> look_for_suspects();
  boost::asio::awaitable<void> claim_rescued(std::size_t table);
  boost::asio::awaitable<void> run_suspect();
  boost::asio::awaitable<void> park_unserved();
  void tell_unserved(const std::vector<std::pair<std::size_t, Job>>& all);
  bool suspects_one_job(std::size_t& refusals, const Error& error) const;
  boost::asio::awaitable<void> search_ready(std::size_t table);
  boost::asio::awaitable<void> search_rescued(std::size_t table);
  boost::asio::awaitable<void> search(std::size_t table, Hints hints, std::string queue);
  boost::asio::awaitable<void> claim_listed(std::size_t table, Hints hints, const std::string& queue, std::vector<std::string> ids);
  boost::asio::awaitable<void> lay_aside_suspect(std::size_t table, DbError error);
  boost::asio::awaitable<std::size_t> room_for(const std::string& queue);
  void claim_failed(std::string_view what, std::size_t table, const Error& error);
  void accept(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed);
  void take_in(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed);
  void start_local();
  bool may_start_at_once(const std::string& queue) const;
  void slots_left(std::size_t table, const std::string& queue);
  void release(std::size_t table, Job job);
  void hand_back(LocalJob job) { release(job.table, std::move(job.claimed.job)); }
  std::size_t room_of(std::size_t table, const std::string& queue, const Queue& state) const;
  /// Claimed and not started, or asked for.
  std::size_t coming(const std::string& queue, const Queue& state) const { return local_.size(queue) + intake_.size(queue) + state.asked; }
  std::size_t free_of(const std::string& queue, const Queue& state) const;
  std::size_t ask_ahead(const std::string& queue, const Queue& state) const;
  bool permits_ahead(std::size_t table, const std::string& queue, const Queue& state) const;
  Mono limited_due(std::size_t table) const;
  std::size_t limited_room(std::size_t table, const std::string& queue, const Queue& state, std::size_t free) const;
  void add_limited(ClaimPlan& plan, bool others, const Freed& freed);
  void answered_limited(const ClaimPlan& plan, Exchanged& done);
  std::vector<ClaimWant> wants(std::size_t table, bool wide) const;
  std::vector<ClaimWant> free_slots() const;
  bool rescued_wait() const { return std::find(rescued_due_.begin(), rescued_due_.end(), true) != rescued_due_.end(); }
  std::size_t kept_for_rescued(const Queue& state) const;
  std::vector<std::string> open_queues() const;  ///< served here and not paused
  bool holding() const;
  /// What a suspect would run beside.
  std::size_t neighbours() const { return state_.running.size() + local_.size() + completer_.under_way() + (under_way() ? 1 : 0); }
  bool may_claim(std::size_t table) const;
  bool closed(const std::string& queue) const;
  static constexpr std::size_t kMostPerClaim = 500;  ///< of one queue
  std::size_t most_per_claim(std::size_t table) const { return std::min(kMostPerClaim, tables_[table].size.most()); }
  bool has_limits() const { return state_.limits; }
  template <class F>
  bool every_served(F&& is) const {
    for (std::size_t i = 0; i < state_.tables.size(); ++i) {
      if (state_.tables[i]->serving() && !is(tables_[i])) return false;
    }
    return true;
  }

  NodeState& state_;
  Executor& executor_;
  Completer& completer_;
  Intake& intake_;
  std::vector<Table> tables_;  ///< in the order of the node's, and for those to come
  std::map<std::string, Queue, std::less<>> queues_;
  LocalJobs local_;
  bool local_watched_ = false;  ///< run() is to wake in time to hand back what waits here for too long
  SuspectPacer suspects_;
  Wake wake_;
  std::function<void()> due_rung_;
  std::vector<std::pair<std::size_t, Job>> unserved_;
  std::vector<bool> rescued_due_;
  std::function<void()> short_;
  std::function<void()> filled_;
  std::function<void()> unknown_;
  bool found_something_ = false;
  bool slot_awaited_ = false;
  Mono next_suspect_look_{};
  Mono last_suspect_look_{};
  std::map<std::string, Mono> unserved_told_;  ///< types, and until when no line tells of them again
  std::shared_ptr<const void> on_their_way_ = std::make_shared<char>();  ///< shared with every claim
  bool suspect_asked_ = false;    ///< the claim of one is on its way
  bool suspect_running_ = false;  ///< until its end is written: a second one beside it would share its fate
  std::pair<std::size_t, std::int64_t> suspect_;  ///< table and token
  bool starting_ = false;
};

}  // namespace rowcrew
