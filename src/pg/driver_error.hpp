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

/// Translates what libpqxx threw while `statement` was at work on `connection`. `decisive`: the
/// statement was sent and carries its own commit, so that without an answer it may have happened.
DbError driver_error(const std::exception& error, std::string_view statement,
                     const PGconn* connection, bool decisive);

}  // namespace rowcrew
