// libvips' images as values, its errors as exceptions.
#pragma once

#include <vips/vips.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace rowcrew::image {

/// What libvips said; empty where it said nothing.
struct VipsError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A counted reference. Operations are lazy: pixels are computed when they are asked for.
class Picture {
 public:
  Picture() = default;
  explicit Picture(VipsImage* owned) noexcept : image_(owned) {}
  Picture(const Picture& other) noexcept : image_(other.image_) {
    if (image_ != nullptr) g_object_ref(image_);
  }
  Picture(Picture&& other) noexcept : image_(std::exchange(other.image_, nullptr)) {}
  Picture& operator=(Picture other) noexcept {
    std::swap(image_, other.image_);
    return *this;
  }
  ~Picture() {
    if (image_ != nullptr) g_object_unref(image_);
  }

  VipsImage* get() const noexcept { return image_; }
  int width() const { return vips_image_get_width(image_); }
  int height() const { return vips_image_get_height(image_); }
  int bands() const { return vips_image_get_bands(image_); }
  bool has_alpha() const { return vips_image_hasalpha(image_) != 0; }

 private:
  VipsImage* image_ = nullptr;
};

/// Throws VipsError with what is in libvips' error buffer when `status` is not 0.
inline void check_vips(int status) {
  if (status == 0) return;
  const std::string text = vips_error_buffer();
  vips_error_clear();
  throw VipsError(text);
}

/// Calls `operation(VipsImage** out)`, which answers 0 when it made a picture.
template <class Operation>
Picture make(Operation operation) {
  VipsImage* out = nullptr;
  check_vips(operation(&out));
  return Picture(out);
}

/// All pixels computed, in memory.
inline Picture computed(const Picture& picture) {
  VipsImage* memory = vips_image_copy_memory(picture.get());
  if (memory == nullptr) check_vips(-1);
  return Picture(memory);
}

}  // namespace rowcrew::image
