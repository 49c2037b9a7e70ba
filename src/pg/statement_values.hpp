// Parameters as libpq takes them.
#pragma once

#include <vector>

#include <rowcrew/db.hpp>

namespace rowcrew {

/// Views of the parameters as C strings; null pointers are NULL. Throws what libpq would tell in a worse way:
/// DbError (22021) of a text with a NUL byte, BugError of more parameters than the protocol counts.
std::vector<const char*> statement_values(const Statement& statement, const Params& params);

}  // namespace rowcrew
