#include "ingest/inherited_socket.hpp"

#include <systemd/sd-daemon.h>

#include <string>
#include <system_error>

#include <rowcrew/error.hpp>

namespace rowcrew {

int inherited_socket() {
  const int count = ::sd_listen_fds(0);
  if (count < 0) {
    throw ConfigError("LISTEN_FDS: " + std::generic_category().message(-count) +
                      ", expected what a service manager sets");
  }
  if (count > 1) {
    throw ConfigError("LISTEN_FDS: " + std::to_string(count) + " sockets, expected one");
  }
  return count == 1 ? SD_LISTEN_FDS_START : -1;
}

}  // namespace rowcrew
