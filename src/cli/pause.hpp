// Waiting in a command, which has nothing else to do.
#pragma once

#include <poll.h>

#include <chrono>

namespace rowcrew::cli {

inline void pause_for(std::chrono::milliseconds span) { ::poll(nullptr, 0, static_cast<int>(span.count())); }

}  // namespace rowcrew::cli
