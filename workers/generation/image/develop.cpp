#include "develop.hpp"

#include <algorithm>
#include <cmath>

#include "curve.hpp"
#include "enlarge.hpp"
#include "tone.hpp"

namespace rowcrew::image {
namespace {

Picture blurred(const Picture& picture, double sigma) {
  return make([&](VipsImage** out) {
    return vips_gaussblur(picture.get(), out, sigma, "precision", VIPS_PRECISION_INTEGER, nullptr);
  });
}

// A wide blur, made of a small picture: as smooth, and its cost does not grow with the radius.
Picture widely_blurred(const Picture& one_band, double radius) {
  const int factor =
      std::clamp(static_cast<int>(radius / 4), 1, std::min(one_band.width(), one_band.height()));
  const Picture shrunk = make([&](VipsImage** out) {
    return vips_shrink(one_band.get(), out, factor, factor, "ceil", TRUE, nullptr);
  });
  const Picture small = computed(blurred(shrunk, std::max(1.0, radius / factor / 2)));
  return enlarged(small, one_band.width(), one_band.height());
}

Picture apply(const Picture& colours, const Denoise& step) {
  const double reach = 3 + 9 * step.strength;
  const Picture table =
      curve([&](double d) { return -step.strength * d * std::exp(-(d / reach) * (d / reach)); });
  return moved(colours, colours, blurred(colours, 1.1), table);
}

Picture apply(const Picture& colours, const LocalContrast& step) {
  const Picture light = computed(brightness(colours));
  // Strong edges move less, or they would glow.
  const Picture table =
      curve([&](double d) { return step.amount * d * std::exp(-(d / 90) * (d / 90)); });
  return moved(colours, light, widely_blurred(light, step.radius), table);
}

Picture apply(const Picture& colours, const Saturation& step) {
  if (colours.bands() < 3) return colours;
  const Picture table =
      curve([&](double d) { return step.amount * d * std::exp(-(d / 110) * (d / 110)); });
  return moved(colours, colours, brightness(colours), table);
}

Picture apply(const Picture& colours, const Levels& step) {
  return stretch_levels(colours, step);
}

Picture apply(const Picture& colours, const WhiteBackground& step) {
  return whiten_background(colours, step);
}

Picture apply(const Picture& colours, const Sharpen& step) {
  constexpr double kMost = 40;  // more is a halo
  const Picture light = brightness(colours);
  const Picture table = curve([&](double d) {
    const double above = std::max(0.0, std::abs(d) - step.threshold);
    return std::copysign(std::min(kMost, step.amount * above), d);
  });
  return moved(colours, light, blurred(light, step.radius), table);
}

Picture colours_of(const Picture& picture) {
  if (!picture.has_alpha()) return picture;
  return make([&](VipsImage** out) {
    return vips_extract_band(picture.get(), out, 0, "n", picture.bands() - 1, nullptr);
  });
}

Picture joined(const Picture& colours, const Picture& with_alpha) {
  if (!with_alpha.has_alpha()) return colours;
  const Picture alpha = make([&](VipsImage** out) {
    return vips_extract_band(with_alpha.get(), out, with_alpha.bands() - 1, nullptr);
  });
  return make(
      [&](VipsImage** out) { return vips_bandjoin2(colours.get(), alpha.get(), out, nullptr); });
}

Picture padded(const Picture& picture, const Pad& step) {
  const Size canvas = pad_size({picture.width(), picture.height()}, {step.width, step.height});
  std::vector<double> background(step.background.begin(), step.background.end());
  if (picture.bands() < 3) {
    background = {0.299 * background[0] + 0.587 * background[1] + 0.114 * background[2]};
  }
  if (picture.has_alpha()) background.push_back(0);
  VipsArrayDouble* levels =
      vips_array_double_new(background.data(), static_cast<int>(background.size()));
  const Picture result = make([&](VipsImage** out) {
    return vips_embed(picture.get(), out, (canvas.width - picture.width()) / 2,
                      (canvas.height - picture.height()) / 2, canvas.width, canvas.height, "extend",
                      VIPS_EXTEND_BACKGROUND, "background", levels, nullptr);
  });
  vips_area_unref(VIPS_AREA(levels));
  return result;
}

}  // namespace

Picture develop(const Picture& picture, const std::vector<Step>& steps) {
  Picture now = picture;
  for (const Step& step : steps) {
    now = std::visit(
        [&](const auto& one) {
          if constexpr (std::is_same_v<std::decay_t<decltype(one)>, Pad>) {
            return padded(now, one);
          } else {
            return joined(apply(colours_of(now), one), now);
          }
        },
        step);
  }
  return now;
}

}  // namespace rowcrew::image
