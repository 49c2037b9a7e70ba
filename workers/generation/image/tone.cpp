#include "tone.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "curve.hpp"

namespace rowcrew::image {
namespace {

using Histogram = std::array<std::uint64_t, 256>;

constexpr int kLeastSpread = 64;  // a picture of one tone is meant to be one
constexpr int kMostDarkening = 40;
constexpr int kMostBrightening = 40;

Histogram histogram(const Picture& one_band) {
  const Picture counts =
      computed(make([&](VipsImage** out) { return vips_hist_find(one_band.get(), out, nullptr); }));
  const auto* numbers = reinterpret_cast<const unsigned*>(VIPS_IMAGE_ADDR(counts.get(), 0, 0));
  Histogram result{};
  for (int level = 0; level < std::min(256, counts.width()); ++level) {
    result[static_cast<std::size_t>(level)] = numbers[level];
  }
  return result;
}

// The lowest level with more than this share of all pixels at or below it.
int level_at(const Histogram& histogram, double share) {
  std::uint64_t total = 0;
  for (const std::uint64_t count : histogram) total += count;
  const double enough = static_cast<double>(total) * share;
  std::uint64_t seen = 0;
  for (int level = 0; level < 256; ++level) {
    seen += histogram[static_cast<std::size_t>(level)];
    if (static_cast<double>(seen) > enough) return level;
  }
  return 255;
}

Picture table_of(const std::vector<std::uint8_t>& levels, int bands) {
  VipsImage* image = vips_image_new_from_memory_copy(levels.data(), levels.size(), 256, 1, bands,
                                                     VIPS_FORMAT_UCHAR);
  if (image == nullptr) check_vips(-1);
  return Picture(image);
}

Picture mapped(const Picture& colours, const Picture& table) {
  return make(
      [&](VipsImage** out) { return vips_maplut(colours.get(), out, table.get(), nullptr); });
}

std::uint8_t byte(double level) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(level, 0.0, 255.0)));
}

// The medians of each band over a frame of a fiftieth of the shorter side.
std::vector<int> border_medians(const Picture& memory) {
  const int width = memory.width();
  const int height = memory.height();
  const auto bands = static_cast<std::size_t>(memory.bands());
  const int frame = std::max(1, std::min(width, height) / 50);
  std::vector<Histogram> counts(bands);
  for (int y = 0; y < height; ++y) {
    const bool whole_row = y < frame || y >= height - frame;
    const auto* row = VIPS_IMAGE_ADDR(memory.get(), 0, y);
    for (int x = 0; x < width; ++x) {
      if (!whole_row && x == frame) x = std::max(frame, width - frame);
      const auto* pixel = row + static_cast<std::size_t>(x) * bands;
      for (std::size_t band = 0; band < bands; ++band) ++counts[band][pixel[band]];
    }
  }
  std::vector<int> medians;
  for (const Histogram& band : counts) medians.push_back(level_at(band, 0.5));
  return medians;
}

}  // namespace

Picture stretch_levels(const Picture& colours, const Levels& step) {
  const Picture memory = computed(colours);
  const Histogram counts = histogram(brightness(memory));
  const int black = std::min(kMostDarkening, level_at(counts, step.black_percent / 100));
  const int white =
      std::max(255 - kMostBrightening, level_at(counts, 1 - step.white_percent / 100));
  if (white - black < kLeastSpread || (black == 0 && white == 255)) return memory;
  std::vector<std::uint8_t> table;
  for (int level = 0; level < 256; ++level) {
    const double stretched = 255.0 * (level - black) / (white - black);
    table.push_back(byte(level + step.strength * (stretched - level)));
  }
  return mapped(memory, table_of(table, 1));
}

Picture whiten_background(const Picture& colours, const WhiteBackground& step) {
  constexpr double kMargin = 4;  // its noise becomes white, too
  const Picture memory = computed(colours);
  const std::vector<int> border = border_medians(memory);
  const auto [darkest, brightest] = std::minmax_element(border.begin(), border.end());
  // A border of a colour is a backdrop that somebody chose.
  if (*darkest < step.level || *brightest - *darkest > 40) return memory;
  const std::size_t bands = border.size();
  std::vector<std::uint8_t> table(256 * bands);
  for (std::size_t level = 0; level < 256; ++level) {
    for (std::size_t band = 0; band < bands; ++band) {
      table[level * bands + band] =
          byte(static_cast<double>(level) * 255.0 / (border[band] - kMargin));
    }
  }
  return mapped(memory, table_of(table, static_cast<int>(bands)));
}

}  // namespace rowcrew::image
