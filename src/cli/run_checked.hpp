// Statements that judge what the user has typed.
#pragma once

#include <rowcrew/db_error.hpp>

#include "cli/arguments.hpp"

namespace rowcrew::cli {

/// One call of a function whose refusal (22023) names the field: the user's mistake then, UsageError.
template <class Work>
void run_checked(const PoolOptions& connection, Work work) {
  try {
    run_once(connection, TxMode::autocommit, work);
  } catch (const DbError& e) {
    if (e.sqlstate() == "22023") throw UsageError(e.what());
    throw;
  }
}

}  // namespace rowcrew::cli
