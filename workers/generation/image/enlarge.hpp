// Bilinear enlargement of one band, in one pass: libvips' own, being able to do more, takes ten
// times as long.
#pragma once

#include "picture.hpp"

namespace rowcrew::image {

/// `small`: one band of 8 bits, in memory. The result is in memory, too.
Picture enlarged(const Picture& small, int width, int height);

}  // namespace rowcrew::image
