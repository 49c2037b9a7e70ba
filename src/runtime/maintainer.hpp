// Housekeeping that any node may do at any time: the hint audit, partitions, forgetting old rows.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/service.hpp"
#include "runtime/node_state.hpp"

namespace rowcrew {

class Maintainer final : public Service {
 public:
  Maintainer(NodeState& state, std::function<void()> healed);
  std::string_view name() const override { return "maintainer"; }
  boost::asio::awaitable<void> run() override;

 private:
  boost::asio::awaitable<void> audit(std::size_t table);
  boost::asio::awaitable<void> forget();

  NodeState& state_;
  std::function<void()> healed_;
  std::vector<std::int64_t> next_page_;               ///< per table: where the audit goes on
  std::vector<std::vector<std::string>> suspicious_;  ///< per table: finds of the last pass
  std::vector<std::int64_t> changes_;      ///< of the table, when it was last looked at
  std::vector<std::int64_t> clean_pages_;  ///< walked without a find since the table last changed
  bool changed_ = true;
  MonoClock::duration audit_took_{};
};

}  // namespace rowcrew
