// Carries ends and claims: each lane takes what has gathered, a batch of ends and the next claim of one
// job table, and sends both in one round trip and one commit. A second lane joins in while the first is
// on its way and there is enough for two.
#pragma once

#include <memory>
#include <vector>

#include "base/service.hpp"
#include "pg/wire.hpp"
#include "runtime/claimer.hpp"
#include "runtime/completer.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Exchanger final {
 public:
  Exchanger(NodeState& state, Claimer& claimer, Completer& completer, std::vector<std::unique_ptr<Wire>> wires);

  ~Exchanger();

  /// There may be something to carry.
  void ring();
  /// One service per wire, to be started and stopped by the supervisor.
  std::vector<Service*> lanes();

 private:
  class Lane;
  struct Load;

  void crowded_out(const DbError& error);
  bool enough_for_two() const;
  Mono late_at() const;
  Load gather(Lane& lane);
  Mono next_due() const;

  NodeState& state_;
  Claimer& claimer_;
  Completer& completer_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::size_t next_table_ = 0;  ///< takes turns, so that no table starves another
  Mono crowded_until_{};        ///< only the first lane carries: there are no more connections
  Mono next_crowd_line_{};
  Mono around_until_{};         ///< claims of limited jobs step around locked rows
};

}  // namespace rowcrew
