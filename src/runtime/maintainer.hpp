// Housekeeping that any node may do at any time: the hint audit, partitions, forgetting old rows.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/service.hpp"
#include "runtime/node_state.hpp"
#include "runtime/wake.hpp"

namespace rowcrew {

class Maintainer final : public Service {
 public:
  Maintainer(NodeState& state, std::function<void()> healed);
  std::string_view name() const override { return "maintainer"; }
  boost::asio::awaitable<void> run() override;

  /// Walks all of every table soon, instead of a piece every audit_every: after a restore, a
  /// failover or a start, jobs may have come past the triggers in any number. Two to four seconds
  /// from now: until then the node has better to do.
  void audit_everything();

 private:
  boost::asio::awaitable<void> audit_pieces();
  boost::asio::awaitable<void> forget_keys();
  boost::asio::awaitable<void> audit_piece(std::size_t table);
  boost::asio::awaitable<void> drop_ended(std::size_t table);
  boost::asio::awaitable<void> audit_whole_tables();
  boost::asio::awaitable<void> audit_whole(std::size_t table);
  boost::asio::awaitable<void> heal(std::size_t table, std::vector<std::string> ids);
  boost::asio::awaitable<void> forget();
  boost::asio::awaitable<void> tidy(const Statement& statement, Params params);

  NodeState& state_;
  std::function<void()> healed_;
  Wake wake_;
  bool everything_ = false;
  Mono everything_from_{};
  std::vector<std::int64_t> next_page_;               ///< per table: where the audit goes on
  std::vector<std::int64_t> next_ready_;              ///< per table: the same of those of queues that nobody claims from
  std::vector<std::int64_t> next_hints_;              ///< per table: where the look at hints that wait for permits goes on
  std::vector<std::vector<std::string>> suspicious_;  ///< per table: finds of the last pass
  std::vector<std::int64_t> changes_;      ///< of the table, when it was last looked at
  std::vector<std::int64_t> clean_pages_;  ///< walked without a find since the table last changed
  bool changed_ = true;
  MonoClock::duration audit_took_{};
  Mono keys_forgotten_{};
  std::optional<std::string> next_key_;  ///< of limits: where the walk over all of them goes on
  Mono next_forget_{};
};

}  // namespace rowcrew
