// The loop that looks for work: woken by notifications and freed slots, paced by ClaimPacer.
#pragma once

#include <vector>

#include "base/service.hpp"
#include "queue/claim_pacer.hpp"
#include "queue/suspect_pacer.hpp"
#include "queue/watermarks.hpp"
#include "runtime/executor.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Claimer final : public Service {
 public:
  Claimer(NodeState& state, Executor& executor, Completer& completer);

  std::string_view name() const override { return "claimer"; }
  boost::asio::awaitable<void> run() override;

  /// Work was announced, or something that claiming depends on has changed.
  void wake();
  void slot_freed(std::string_view queue);
  /// After a reconnect: look once without marks.
  void look_everywhere();
  /// The last claims of all tables found nothing, and nothing runs or waits to be written.
  bool drained() const;

 private:
  boost::asio::awaitable<void> step();
  boost::asio::awaitable<void> claim_tables();
  boost::asio::awaitable<void> claim_table(std::size_t table, bool sweep, std::vector<ClaimPacer::Answer>& answers);
  boost::asio::awaitable<void> look_for_suspects();
  boost::asio::awaitable<void> run_suspect();
  boost::asio::awaitable<std::vector<ClaimedJob>> send_claim(std::size_t table, std::vector<ClaimWant> wants, TakenHints& taken);
  boost::asio::awaitable<void> start_all(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed);
  std::vector<ClaimWant> wants(std::size_t table, bool sweep) const;
  std::vector<std::string> open_queues() const;  ///< served here and not paused
  bool any_slot_free() const;

  NodeState& state_;
  Executor& executor_;
  Completer& completer_;
  ClaimPacer pacer_;
  SuspectPacer suspects_;
  std::vector<Watermarks> marks_;  ///< per table
  Wake wake_;
  std::size_t first_table_ = 0;  ///< takes turns, so that neither table starves the other
  Mono next_suspect_look_{};
  Mono next_unserved_line_{};
  bool suspect_running_ = false;
  bool found_nothing_ = false;
};

}  // namespace rowcrew
