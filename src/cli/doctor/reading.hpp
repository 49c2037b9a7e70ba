// Reads what the checks want to know.
#pragma once

#include "cli/doctor/check.hpp"
#include "pg/pool.hpp"

namespace rowcrew::cli::doctor {

/// On one connection, some nine statements, each in autocommit and with five seconds at most; none takes a lock that anybody
/// waits for, none reads a table whose size is that of the jobs. What cannot be read has its reason in Facts::unread. Throws DbError
/// when the server cannot be reached, or is lost on the way.
Facts read_facts(PoolOptions connection);

}  // namespace rowcrew::cli::doctor
