// What may start of a claim: lays aside what is paused, ends what comes too late. Stands in the way
// only while a type or tenant is paused, or where a job's type has a deadline.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/service.hpp"
#include "runtime/completer.hpp"
#include "runtime/node_state.hpp"
#include "runtime/pauses.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Intake final : public Service {
 public:
  using Through = std::function<void(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob> claimed)>;
  /// `through` gets what is to be started.
  Intake(NodeState& state, Completer& completer, Pauses& pauses, Through through);
  std::string_view name() const override { return "intake"; }
  boost::asio::awaitable<void> run() override;

  /// True: these are looked at first, and moved away; what is left of them comes through.
  bool takes(std::size_t table, std::int64_t epoch, std::vector<ClaimedJob>& claimed);
  bool empty() const { return waiting_.empty(); }
  /// Jobs of this queue that are being looked at: each is about to need a slot.
  std::size_t size(std::string_view queue) const;

 private:
  struct Claim {
    std::size_t table = 0;
    std::int64_t epoch = 0;
    std::vector<ClaimedJob> jobs;
    std::map<std::string, std::size_t> sizes;  ///< per queue, as they came
  };
  boost::asio::awaitable<void> end_late(std::size_t table, std::vector<ClaimedJob>& claimed);

  NodeState& state_;
  Completer& completer_;
  Pauses& pauses_;
  Through through_;
  Wake wake_;
  std::deque<Claim> waiting_;  ///< the first is being looked at
  std::map<std::string, std::size_t, std::less<>> sizes_;
};

}  // namespace rowcrew
