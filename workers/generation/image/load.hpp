// From bytes of a stranger to pixels in memory.
#pragma once

#include <string>

#include "picture.hpp"
#include "request.hpp"
#include "source_file.hpp"
#include "workflow.hpp"

namespace rowcrew::image {

struct Loaded {
  Picture picture;   ///< upright, framed, 8 bits, grey or RGB, with or without alpha; in memory
  Size source;       ///< upright, before framing
  bool icc = false;  ///< carries a colour profile, the source's own or sRGB after CMYK
};

/// Decodes no more than the framing needs. Pixels keep the source's colour space, but for CMYK,
/// which becomes sRGB. Of the metadata nothing is left but the colour profile. `name`: for
/// sentences.
///
/// Throws Failure: image_too_large (from the header, before any pixel), image_truncated,
/// image_corrupt, decoder_memory, file_unreadable.
Loaded load(const SourceFile& file, const std::string& name, const Framing& framing,
            const Limits& limits);

}  // namespace rowcrew::image
