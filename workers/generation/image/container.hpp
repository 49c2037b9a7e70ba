// The file formats as containers of pieces. libvips writes an EXIF block of its own making into
// some of them, and its switch against that takes the colour profile along.
#pragma once

#include <string>
#include <string_view>

#include "sniff.hpp"

namespace rowcrew::image {

/// A file that libvips just wrote, without EXIF, XMP, IPTC, comments and texts: what is needed to
/// show the picture, and its colour profile. Throws std::runtime_error for a file of another form.
std::string only_picture(std::string_view file, Format format);

}  // namespace rowcrew::image
