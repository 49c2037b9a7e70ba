// Carries out requests to cancel jobs: stops those that run here, ends those that wait, clears away
// what came too late. Told by a notification, finds by a poll behind it. The end that a node writes
// looks for the request by itself, so that no success can overtake it.
#pragma once

#include "base/service.hpp"
#include "runtime/claimer.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Cancellation final : public Service {
 public:
  Cancellation(NodeState& state, Claimer& claimer);
  std::string_view name() const override { return "cancellation"; }
  boost::asio::awaitable<void> run() override;
  void wake() { wake_.ring(); }

 private:
  /// Whether there are requests that are still open.
  boost::asio::awaitable<bool> look(std::size_t table);
  boost::asio::awaitable<void> settle(std::size_t table);

  NodeState& state_;
  Claimer& claimer_;
  Wake wake_;
};

}  // namespace rowcrew
