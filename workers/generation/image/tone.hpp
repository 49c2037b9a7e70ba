// Steps that look at the whole picture before they move a pixel. Both take and give colours without
// alpha and keep a picture that offers nothing to do.
#pragma once

#include "picture.hpp"
#include "workflow.hpp"

namespace rowcrew::image {

Picture stretch_levels(const Picture& colours, const Levels& step);
Picture whiten_background(const Picture& colours, const WhiteBackground& step);

}  // namespace rowcrew::image
