// What the page shows: the same as the commands print with --json. Each reads in one transaction and returns the body of the
// answer. For a database thread. They throw DbError, and WebRefusal or UsageError for a value that cannot be asked for.
#pragma once

#include <map>
#include <string>

#include <rowcrew/db.hpp>

namespace rowcrew::web {

using Query = std::map<std::string, std::string, std::less<>>;

/// {"acts","database","role","version","now","status","pauses","minutes"}; `acts`: whether the page may change anything.
std::string fleet_view(Tx& tx, bool acts);
/// {"jobs":[…]}, newest first. status, type, queue, tenant, error_code, table, created_after, created_before, ended_after,
/// ended_before as rowcrew jobs has them; limit 1 to 500, 50 if nothing is said. Anything else is refused.
std::string jobs_view(Tx& tx, const Query& query);
/// {"line","why","attempts"} of "job", an id or TABLE:KEY. WebRefusal 404 when there is none.
std::string job_view(Tx& tx, const Query& query);
/// {"limits":[…]}
std::string limits_view(Tx& tx);
/// {"keys":[…]} of the limit "name".
std::string limit_view(Tx& tx, const Query& query);
/// {"schedules":[…]}
std::string schedules_view(Tx& tx);
/// {"acts":[…]}, the last hundred. Needs the rights of rowcrew_operator, the others those of rowcrew_viewer.
std::string audit_view(Tx& tx);

}  // namespace rowcrew::web
