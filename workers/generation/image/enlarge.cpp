#include "enlarge.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace rowcrew::image {
namespace {

constexpr int kOne = 256;  // weights are 256ths

/// Between which two samples a target lies, and how far from the first.
struct Between {
  int first;
  int second;
  int weight;  ///< of the second
};

std::vector<Between> positions(int from, int to) {
  std::vector<Between> all;
  all.reserve(static_cast<std::size_t>(to));
  for (int i = 0; i < to; ++i) {
    const double at = std::clamp((i + 0.5) * from / to - 0.5, 0.0, from - 1.0);
    const int first = static_cast<int>(at);
    all.push_back({first, std::min(first + 1, from - 1), static_cast<int>((at - first) * kOne)});
  }
  return all;
}

}  // namespace

Picture enlarged(const Picture& small, int width, int height) {
  const std::vector<Between> columns = positions(small.width(), width);
  const std::vector<Between> rows = positions(small.height(), height);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(width) *
                                   static_cast<std::size_t>(height));
  std::vector<int> row(static_cast<std::size_t>(small.width()));
  std::uint8_t* out = pixels.data();
  for (const Between& y : rows) {
    const auto* upper = VIPS_IMAGE_ADDR(small.get(), 0, y.first);
    const auto* lower = VIPS_IMAGE_ADDR(small.get(), 0, y.second);
    for (std::size_t x = 0; x < row.size(); ++x) {
      row[x] = upper[x] * (kOne - y.weight) + lower[x] * y.weight;
    }
    for (const Between& x : columns) {
      const int sum = row[static_cast<std::size_t>(x.first)] * (kOne - x.weight) +
                      row[static_cast<std::size_t>(x.second)] * x.weight;
      *out++ = static_cast<std::uint8_t>((sum + kOne * kOne / 2) / (kOne * kOne));
    }
  }
  VipsImage* image = vips_image_new_from_memory_copy(pixels.data(), pixels.size(), width, height, 1,
                                                     VIPS_FORMAT_UCHAR);
  if (image == nullptr) check_vips(-1);
  return Picture(image);
}

}  // namespace rowcrew::image
