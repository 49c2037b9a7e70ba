// From PoolOptions to the keywords that libpq connects with.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pg/pool.hpp"

namespace rowcrew {

/// libpq keyword -> value (host, port, dbname, …).
using ConnectParams = std::map<std::string, std::string, std::less<>>;

/// What the URL says (URI or keywords; several hosts and target_session_attrs pass through), plus
/// what it leaves open: keep-alives, tcp_user_timeout, TLS files, target_session_attrs=read-write
/// (not behind a pooler), a fallback application_name. Asks options.password, which ends early once
/// `interrupt` (may be null) is triggered. Throws ConfigError for a malformed URL, without quoting it, for
/// a word that libpq would refuse only as it connects (sslmode, target_session_attrs, channel_binding,
/// gssencmode), and for an sslmode that makes a CA file worth nothing.
ConnectParams connect_params(const PoolOptions& options, const Interrupt* interrupt = nullptr);

/// How long one host, and one address of it, may take: connect_timeout of the URL (whole seconds), else of the options.
std::chrono::milliseconds connect_timeout(const ConnectParams& params, const PoolOptions& options);

/// One of the lists that belong to the hosts (host, hostaddr, port); empty when it is not given.
std::vector<std::string> host_list(const ConnectParams& params, std::string_view keyword);

/// At least 1.
std::size_t host_count(const ConnectParams& params);

/// Lets the list of hosts start `by` places later; the first ones come last.
void rotate_hosts(ConnectParams& params, std::size_t by);

/// What tells the first of the list from the others.
std::string first_host(const ConnectParams& params);
/// Lets the list start with the one that was told as first_host(), if it is still there.
void begin_with_host(ConnectParams& params, const std::string& first);

}  // namespace rowcrew
