// What the drivers throw and say -> DbError.
#pragma once

#include <libpq-fe.h>

#include <exception>
#include <string>
#include <string_view>

#include <rowcrew/db_error.hpp>

namespace rowcrew {

/// An error that the server answered with; the class follows from the state.
DbError server_error(const std::string& sqlstate, const std::string& message);

/// 25006 of a server that writes nothing any more loses the connection, as if the server had gone:
/// work goes on at another one. From a server that does write it is somebody's own READ ONLY
/// transaction and stays what it is, as does every other error.
DbError lost_if_read_only(const DbError& error, const PGconn* connection);
DbError lost_to_read_only(const DbError& error);

/// Translates what libpqxx threw while `statement` was at work on `connection`. `decisive`: the
/// statement was sent and carries its own commit, so that without an answer it may have happened.
DbError driver_error(const std::exception& error, std::string_view statement,
                     const PGconn* connection, bool decisive);

}  // namespace rowcrew
