// The steps of a workflow, on pixels.
#pragma once

#include <vector>

#include "picture.hpp"
#include "workflow.hpp"

namespace rowcrew::image {

/// `picture`: 8 bits, in memory. Colours stay in their space, transparency as it is; the result may
/// be lazy. Throws VipsError.
Picture develop(const Picture& picture, const std::vector<Step>& steps);

}  // namespace rowcrew::image
