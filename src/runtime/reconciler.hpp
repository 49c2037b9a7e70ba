// Compares what the database believes this node holds with what it does hold, both ways: a claim
// whose reply was lost is handed back, a job whose row was changed by hand is stopped.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/service.hpp"
#include "runtime/claimer.hpp"
#include "runtime/completer.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Reconciler final : public Service {
 public:
  Reconciler(NodeState& state, const Completer& completer, Claimer& claimer);
  std::string_view name() const override { return "reconciler"; }
  boost::asio::awaitable<void> run() override;
  void wake() { wake_.ring(); }

 private:
  struct Look {
    std::uint64_t forgotten = 0;  ///< up to then
    Mono changed{};               ///< when that last grew
    Mono at{};
    std::set<std::string> completed;  ///< ids of jobs that ran here although their rows had ended
  };
  bool worth_a_look(std::size_t table);
  boost::asio::awaitable<void> reconcile(std::size_t table);
  boost::asio::awaitable<void> hand_back_orphans(std::size_t table);
  boost::asio::awaitable<void> stop_lost(std::size_t table);

  NodeState& state_;
  const Completer& completer_;
  Claimer& claimer_;
  std::vector<Look> looks_;
  Wake wake_;
};

}  // namespace rowcrew
