// Work for the end of a test program, before static objects (ours and the libraries') are destroyed.
#pragma once

#include <functional>

namespace rowcrew::testing {

/// Called in reverse order of registration, after the last test.
void at_end(std::function<void()> work);

}  // namespace rowcrew::testing
