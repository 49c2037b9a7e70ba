#include "save.hpp"

#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

#include "container.hpp"

namespace rowcrew::image {
namespace {

constexpr int kJpegQuality = 90;
constexpr int kWebpQuality = 88;
constexpr int kPngCompression = 6;

// Codes made for the picture save a tenth of its bytes, and hold all of its coefficients in memory.
bool may_optimise(VipsImage* image) {
  constexpr double kMostPixels = 24e6;
  return static_cast<double>(vips_image_get_width(image)) * vips_image_get_height(image) <=
         kMostPixels;
}

int save(VipsImage* image, Format format, void** data, std::size_t* size) {
  switch (format) {
    case Format::jpeg:
      return vips_jpegsave_buffer(image, data, size, "Q", kJpegQuality, "optimize_coding",
                                  may_optimise(image) ? TRUE : FALSE, nullptr);
    case Format::png:
      return vips_pngsave_buffer(image, data, size, "compression", kPngCompression, nullptr);
    case Format::webp:
      return vips_webpsave_buffer(image, data, size, "Q", kWebpQuality, nullptr);
  }
  return -1;
}

}  // namespace

std::string encode(const Picture& picture, Format format) {
  void* data = nullptr;
  std::size_t size = 0;
  check_vips(save(picture.get(), format, &data, &size));
  const std::unique_ptr<void, void (*)(void*)> owner(data, g_free);
  return only_picture({static_cast<const char*>(data), size}, format);
}

Picture opaque_for(Format format, const Picture& picture) {
  if (format != Format::jpeg || !picture.has_alpha()) return picture;
  VipsArrayDouble* white = vips_array_double_newv(1, 255.0);
  const Picture flat = make([&](VipsImage** out) {
    return vips_flatten(picture.get(), out, "background", white, nullptr);
  });
  vips_area_unref(VIPS_AREA(white));
  return flat;
}

std::string sha256(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("sha256: OpenSSL refused");
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < length; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace rowcrew::image
