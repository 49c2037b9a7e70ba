// The service manager's notification protocol (sd_notify(3), systemd 252). No-ops outside systemd.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace rowcrew {

/// One datagram of newline-separated assignments, e.g. "READY=1\nSTATUS=idle".
void sd_notify_state(std::string_view assignments);
/// The interval the manager expects WATCHDOG=1 in, if it does.
std::optional<std::chrono::microseconds> sd_watchdog_interval();
/// Removes NOTIFY_SOCKET, WATCHDOG_* and LISTEN_* from the environment, so that children do not
/// inherit them. Call after the first use of the functions above (they remember what they need).
void sd_forget_environment();

}  // namespace rowcrew
