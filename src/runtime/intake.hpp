// What may start of a claim: lays aside what is paused, ends what comes too late. Stands in the way
// only while a type or tenant is paused, or where a job's type has a deadline.
#pragma once

#include <deque>
#include <functional>
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
  bool empty() const { return waiting_.empty() && !sifting_; }

 private:
  struct Claim {
    std::size_t table = 0;
    std::int64_t epoch = 0;
    std::vector<ClaimedJob> jobs;
  };
  boost::asio::awaitable<void> end_late(std::size_t table, std::vector<ClaimedJob>& claimed);

  NodeState& state_;
  Completer& completer_;
  Pauses& pauses_;
  Through through_;
  Wake wake_;
  std::deque<Claim> waiting_;
  bool sifting_ = false;
};

}  // namespace rowcrew
