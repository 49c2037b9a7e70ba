// Moves every value by an amount that depends on how far it is from a reference: the one operation
// behind noise reduction, local contrast, sharpening and saturation. Table look-ups on whole
// numbers, which streams through caches and needs no conversion of colours.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "picture.hpp"

namespace rowcrew::image {

/// The table of `move(d)` for d = -255…255, rounded.
template <class Move>
Picture curve(Move move) {
  std::vector<std::int16_t> table;
  table.reserve(511);
  for (int d = -255; d <= 255; ++d) {
    table.push_back(static_cast<std::int16_t>(std::lround(std::clamp<double>(move(d), -255, 255))));
  }
  VipsImage* image =
      vips_image_new_from_memory_copy(table.data(), table.size() * sizeof table[0],
                                      static_cast<int>(table.size()), 1, 1, VIPS_FORMAT_SHORT);
  if (image == nullptr) check_vips(-1);
  return Picture(image);
}

/// picture + table[value - reference], kept within 0 to 255. `value` and `reference` have the
/// picture's bands or one.
Picture moved(const Picture& picture, const Picture& value, const Picture& reference,
              const Picture& table);

/// The mean of the bands.
Picture brightness(const Picture& colours);

}  // namespace rowcrew::image
