// The listening socket of a service manager (sd_listen_fds(3)).
#pragma once

namespace rowcrew {

/// Its descriptor, or -1 without one. Throws ConfigError when there is more than one.
int inherited_socket();

}  // namespace rowcrew
