// Rescues the jobs of dead nodes. Runs on every node, on the engine's own connections, and needs no
// slot.
#pragma once

#include "base/service.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Reaper final : public Service {
 public:
  Reaper(NodeState& state, std::function<void()> rescued);
  std::string_view name() const override { return "reaper"; }
  boost::asio::awaitable<void> run() override;
  void wake() { wake_.ring(); }

 private:
  boost::asio::awaitable<void> reap_table(JobTable& table);
  void report(const JobTable& table, const ReapedPage& page);

  NodeState& state_;
  std::function<void()> rescued_;
  Wake wake_;
};

}  // namespace rowcrew
