// SQLSTATE -> what the nearest owner of a retry decision should do. Pure.
#pragma once

#include <string_view>

#include <rowcrew/error.hpp>

namespace rowcrew {

/// Transient: 08, 40, 53, 57, 55P03 (lock not available), 25006 (the server is a standby, which a
/// failover ends), and an empty state (the server never answered). Permanent: 22, 23. Everything
/// else is a bug of ours or of the schema.
ErrorClass classify_sqlstate(std::string_view sqlstate);

/// The session itself is stale after this error, although its connection stands: a server that has
/// become a standby, a plan whose result columns have changed under it, or perhaps another role,
/// which a function of the application took on and left behind.
bool spoils_session(std::string_view sqlstate);

/// The server writes nothing any more (25006): to be left for another one.
bool is_read_only(std::string_view sqlstate);

}  // namespace rowcrew
