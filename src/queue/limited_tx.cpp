#include "queue/limited_tx.hpp"

#include <algorithm>

#include <rowcrew/error.hpp>

#include "sql_queries.hpp"

namespace rowcrew {

using std::chrono::milliseconds;

milliseconds LimitedTx::left() const {
  const auto left = std::chrono::duration_cast<milliseconds>(until_ - clock_.mono());
  if (left <= milliseconds{0}) {
    throw TransientError("too_late", "transaction: nothing is left of the lease or the deadline, undone");
  }
  return left;
}

Rows LimitedTx::exec(const Statement& statement, const Params& params) {
  const milliseconds left = this->left();
  const milliseconds in_force = set_ == milliseconds{0} ? ceiling_ : set_;
  if (in_force > left) {  // with a quarter to spare, so that it is not set anew for each statement
    set_ = std::clamp(left * 3 / 4, milliseconds{1}, ceiling_);
    tx_.exec(sql::tx_limit, Params{}.add(set_));
  }
  return tx_.exec(statement, params);
}

}  // namespace rowcrew
