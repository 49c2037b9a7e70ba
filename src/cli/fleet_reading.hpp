// Reads the state of the fleet from hints, claims and minute buckets. The job tables themselves are not read, so the cost
// does not depend on how many jobs there are.
#pragma once

#include <rowcrew/db.hpp>

#include "cli/status_report.hpp"

namespace rowcrew::cli {

/// Some ten statements, in one transaction; with the rights of rowcrew_viewer. Of each table so many hints at most are counted as
/// bounds the cost. Throws DbError.
FleetStatus read_fleet(Tx& tx);

}  // namespace rowcrew::cli
