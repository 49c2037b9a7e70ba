#include "curve.hpp"

namespace rowcrew::image {

Picture moved(const Picture& picture, const Picture& value, const Picture& reference,
              const Picture& table) {
  // value + (255 - reference) is the index 0…510, without a negative number on the way.
  const Picture inverted =
      make([&](VipsImage** out) { return vips_invert(reference.get(), out, nullptr); });
  const Picture index =
      make([&](VipsImage** out) { return vips_add(value.get(), inverted.get(), out, nullptr); });
  const Picture step =
      make([&](VipsImage** out) { return vips_maplut(index.get(), out, table.get(), nullptr); });
  const Picture sum =
      make([&](VipsImage** out) { return vips_add(picture.get(), step.get(), out, nullptr); });
  const Picture bytes =
      make([&](VipsImage** out) { return vips_cast_uchar(sum.get(), out, nullptr); });
  return make([&](VipsImage** out) {
    return vips_copy(bytes.get(), out, "interpretation",
                     vips_image_get_interpretation(picture.get()), nullptr);
  });
}

Picture brightness(const Picture& colours) {
  if (colours.bands() == 1) return colours;
  return make([&](VipsImage** out) { return vips_bandmean(colours.get(), out, nullptr); });
}

}  // namespace rowcrew::image
