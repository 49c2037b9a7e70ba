// What is paused on this node, and what that means for jobs that claims bring: a paused queue is not
// claimed from (NodeState::paused); a job of a paused type or tenant is laid aside, once, and comes
// back when the pause is over.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/service.hpp"
#include "runtime/completer.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Pauses final : public Service {
 public:
  /// `changed`: other queues may be claimed from than before.
  Pauses(NodeState& state, Completer& completer, std::function<void()> changed);
  std::string_view name() const override { return "pauses"; }
  boost::asio::awaitable<void> run() override;
  void wake() { wake_.ring(); }

  /// Whether hold() could find something: false while nothing or only queues are paused.
  bool may_hold() const { return !looked_ || !keys_.empty(); }
  /// Takes out of `claimed` what is paused and lays it aside. Never throws for the database's sake: what cannot be laid aside is handed back.
  boost::asio::awaitable<void> hold(std::size_t table, std::vector<ClaimedJob>& claimed);

 private:
  boost::asio::awaitable<void> look();
  boost::asio::awaitable<void> release(std::size_t table);
  boost::asio::awaitable<void> lay_aside(std::size_t table, std::vector<Job> jobs);

  NodeState& state_;
  Completer& completer_;
  std::function<void()> changed_;
  Wake wake_;
  std::set<std::string, std::less<>> keys_;  ///< "type:mail", "tenant:acme": paused now
  bool looked_ = false;  ///< since this node has its lease
  Mono next_{};
};

}  // namespace rowcrew
