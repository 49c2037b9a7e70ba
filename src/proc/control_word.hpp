// What the daemon writes to the shim's control pipe: words of eight bytes, each in one write, which a
// pipe neither splits nor mixes.
#pragma once

#include <cstdint>

namespace rowcrew {

/// SIGTERM to the group, after the grace SIGKILL.
inline constexpr std::int64_t kPleaseEnd = 0;
// Any other word: the lease holds until that moment of CLOCK_BOOTTIME, in milliseconds.

}  // namespace rowcrew
