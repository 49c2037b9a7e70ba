// A host name that stands for several addresses -> one host of libpq's list for each of them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pg/connect_params.hpp"

namespace rowcrew {

struct HostAddresses {
  std::vector<std::string> addresses;  ///< numeric, in the order in which they are to be tried
  std::string failure;                 ///< why there are none
};
using HostLookUp = std::function<HostAddresses(const std::string& host)>;

/// Asks the system's resolver, which may take its time and cannot be interrupted. Any thread.
HostAddresses look_up_host(const std::string& host);

/// libpq goes on to a name's next address when one refuses, but leaves time-outs to its caller, who
/// can only go on to the next host: each address becomes a host of its own. Its name stays with it, for
/// TLS and password files. Sockets, addresses that were given and names of one address stay as they
/// are; names without any are left out. Returns what became of those; throws DbError (08001) when
/// nothing else is left.
std::string expand_hosts(ConnectParams& params, const HostLookUp& look_up);

}  // namespace rowcrew
