// Moves parked jobs whose time has come to where claims look. Any node may, SKIP LOCKED shares the
// work.
#pragma once

#include <vector>

#include "base/service.hpp"
#include "queue/parked_mark.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Promoter final : public Service {
 public:
  Promoter(NodeState& state, std::function<void()> promoted);
  std::string_view name() const override { return "promoter"; }
  boost::asio::awaitable<void> run() override;
  /// This node has parked a job for so long.
  void expect(std::chrono::milliseconds delay);
  /// Whether everything that was due at the start has been moved.
  bool passed() const { return passed_; }

 private:
  boost::asio::awaitable<Mono> promote_due();  ///< of all tables: when to look again
  boost::asio::awaitable<Mono> promote_due(std::size_t table);

  NodeState& state_;
  std::function<void()> promoted_;
  Wake wake_;
  Mono next_{};
  bool passed_ = false;
  std::vector<ParkedMark> marks_ = std::vector<ParkedMark>(kMostTables);  ///< per table
};

}  // namespace rowcrew
