// Accidents on demand, in test builds only: ROWCREW_IMAGE_FAULT="<what>[@<point>]" with what =
// crash, loop, memory or pause, at image.decoding (the default), image.before_rename or
// image.after_rename.
//
// With ROWCREW_IMAGE_FAULT_FILE the accident happens once: it makes that file first, and does
// nothing where the file is there already. A pause lasts until SIGUSR1.
#pragma once

#include <string_view>

namespace rowcrew::image {

#ifdef ROWCREW_FAULTS
void pass_image_fault(std::string_view point);
#else
inline void pass_image_fault(std::string_view) {}
#endif

}  // namespace rowcrew::image
