// What the server says -> DbError.
#pragma once

#include <libpq-fe.h>

#include <string>

#include <rowcrew/db_error.hpp>

namespace rowcrew {

/// An error that the server answered with; the class follows from the state.
DbError server_error(const std::string& sqlstate, const std::string& message);

/// 25006 of a server that writes nothing any more loses the connection, as if the server had gone:
/// work goes on at another one. From a server that does write it is somebody's own READ ONLY
/// transaction and stays what it is, as does every other error.
DbError lost_if_read_only(const DbError& error, const PGconn* connection);
DbError lost_to_read_only(const DbError& error);

}  // namespace rowcrew
