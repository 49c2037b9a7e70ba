// Section `database` of a configuration -> PoolOptions: one reading for every program.
#pragma once

#include <string_view>

#include <rowcrew/settings.hpp>

#include "pg/pool.hpp"

namespace rowcrew {

/// `root` is the whole configuration. Keys, all below `database`:
///   url                secret, required: libpq URI or keywords, several hosts allowed
///   password           secret, optional, if the URL has none; password_file and password_command
///                      are asked again at every connect, so that either may rotate; a command beside
///                      a credential of that name is refused
///   threads            4 (1 to 64): connections at work at once
///   queue              256 (1 to 65536): statements that may wait for a thread
///   pooled             false; true behind a transaction pooler
///   direct_url         secret, optional, only with pooled: past the pooler, for LISTEN; the same
///                      password and files
///   ca_file, certificate_file, key_file   optional, PEM: TLS verify-full (refused beside an sslmode
///                      that asks for less), with a client certificate; default: systemd credentials database-ca, -certificate, -key.
///                      Read again at every connect, so that they may be renewed
///   connect_timeout    5s (100ms to 60s), per host and address of it
///   statement_timeout  30s (100ms to 10m)
/// Throws ConfigError: a missing or malformed URL, a value out of range, a secret that cannot be
/// read.
PoolOptions read_pool_options(const Settings& root, std::string_view application_name);

}  // namespace rowcrew
