// From pixels to the bytes of a file.
#pragma once

#include <string>
#include <string_view>

#include "picture.hpp"
#include "sniff.hpp"

namespace rowcrew::image {

/// A whole file. The same picture gives the same bytes. No metadata but the colour profile. Throws
/// VipsError.
std::string encode(const Picture& picture, Format format);

/// As it is, or, where the format knows no transparency, on white.
Picture opaque_for(Format format, const Picture& picture);

/// 64 hexadecimal digits.
std::string sha256(std::string_view bytes);

}  // namespace rowcrew::image
