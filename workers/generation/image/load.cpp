#include "load.hpp"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "failure.hpp"

namespace rowcrew::image {
namespace {

struct Unref {
  void operator()(VipsSource* source) const { g_object_unref(source); }
};
using Source = std::unique_ptr<VipsSource, Unref>;

Source rewound(const SourceFile& file) {
  ::lseek(file.fd.get(), 0, SEEK_SET);
  Source source(vips_source_new_from_descriptor(file.fd.get()));
  if (!source) check_vips(-1);
  return source;
}

// Reads the header; pixels are decoded when somebody asks for them, from top to bottom.
Picture open_picture(const SourceFile& file, VipsSource* source, int shrink) {
  return make([&](VipsImage** out) {
    switch (file.format) {
      case Format::jpeg:
        return vips_jpegload_source(source, out, "shrink", shrink, "access", VIPS_ACCESS_SEQUENTIAL,
                                    "fail_on", VIPS_FAIL_ON_TRUNCATED, nullptr);
      case Format::png:
        return vips_pngload_source(source, out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                   VIPS_FAIL_ON_TRUNCATED, nullptr);
      case Format::webp:
        return vips_webpload_source(source, out, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                    VIPS_FAIL_ON_TRUNCATED, nullptr);
    }
    return -1;
  });
}

struct Header {
  Size size;  ///< upright
  bool cmyk = false;
};

Header read_header(const SourceFile& file) {
  const Source source = rewound(file);
  const Picture picture = open_picture(file, source.get(), 1);
  Header header;
  header.size = {picture.width(), picture.height()};
  if (vips_image_get_orientation_swap(picture.get()) != 0) {
    std::swap(header.size.width, header.size.height);
  }
  header.cmyk = vips_image_get_interpretation(picture.get()) == VIPS_INTERPRETATION_CMYK;
  return header;
}

void check_size(const Size& size, const std::string& name, const Limits& limits) {
  const auto pixels =
      static_cast<std::uint64_t>(size.width) * static_cast<std::uint64_t>(size.height);
  if (pixels <= limits.max_pixels && size.width <= limits.max_side &&
      size.height <= limits.max_side) {
    return;
  }
  throw Failure("image_too_large", name + ": has " + std::to_string(size.width) + " x " +
                                       std::to_string(size.height) + " pixels, at most " +
                                       std::to_string(limits.max_pixels / 1'000'000) +
                                       " megapixels and " + std::to_string(limits.max_side) +
                                       " pixels a side are taken");
}

VipsInteresting gravity_of(const Crop& crop) {
  if (crop.gravity == "attention") return VIPS_INTERESTING_ATTENTION;
  return crop.gravity == "entropy" ? VIPS_INTERESTING_ENTROPY : VIPS_INTERESTING_CENTRE;
}

// What remains to shrink after a JPEG was decoded at a fraction of its size is at least a half: the
// decoder's own shrinking is quick and coarse. It aborts where nothing would be left of a thin
// picture's shorter side.
int shrink_on_load(const Size& source, const Size& wanted, bool fill) {
  const double across = static_cast<double>(source.width) / wanted.width;
  const double down = static_cast<double>(source.height) / wanted.height;
  const double shrink = fill ? std::min(across, down) : std::max(across, down);
  for (const int step : {8, 4, 2}) {
    if (shrink >= 2 * step && std::min(source.width, source.height) >= step) return step;
  }
  return 1;
}

Picture decode(const SourceFile& file, const Header& header, const Framing& framing) {
  Size size = header.size;
  VipsInteresting crop = VIPS_INTERESTING_NONE;
  if (const Crop* wanted = std::get_if<Crop>(&framing)) {
    size = crop_size(header.size, {wanted->width, wanted->height});
    crop = gravity_of(*wanted);
  } else if (const Fit* box = std::get_if<Fit>(&framing)) {
    size = {box->width, box->height};
  }
  const Source source = rewound(file);
  const int shrink = shrink_on_load(header.size, size, crop != VIPS_INTERESTING_NONE);
  const Picture whole = open_picture(file, source.get(), shrink);
  const char* to_srgb = header.cmyk ? "export_profile" : nullptr;
  return computed(make([&](VipsImage** out) {
    return vips_thumbnail_image(whole.get(), out, size.width, "height", size.height, "size",
                                VIPS_SIZE_DOWN, "crop", crop, to_srgb, "srgb", nullptr);
  }));
}

Picture in_8_bits(const Picture& picture) {
  if (vips_image_get_format(picture.get()) == VIPS_FORMAT_UCHAR) return picture;
  const Picture narrow = make([&](VipsImage** out) {
    return vips_cast(picture.get(), out, VIPS_FORMAT_UCHAR, "shift", TRUE, nullptr);
  });
  const auto meaning = narrow.bands() < 3 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
  return make([&](VipsImage** out) {
    return vips_copy(narrow.get(), out, "interpretation", meaning, nullptr);
  });
}

// Where it was taken, with what and by whom is nobody's business but the owner's.
Picture without_metadata(const Picture& picture) {
  Picture bare = make([&](VipsImage** out) { return vips_copy(picture.get(), out, nullptr); });
  const std::unique_ptr<gchar*, void (*)(gchar**)> fields(vips_image_get_fields(bare.get()),
                                                          g_strfreev);
  for (gchar** field = fields.get(); *field != nullptr; ++field) {
    if (std::string_view(*field) != VIPS_META_ICC_NAME) vips_image_remove(bare.get(), *field);
  }
  return bare;
}

bool says(std::string_view text, std::string_view words) {
  return text.find(words) != text.npos;
}

[[noreturn]] void blame(const std::string& text, const SourceFile& file, const std::string& name) {
  if (says(text, "out of memory") || says(text, "nable to allocate") || says(text, "allocat")) {
    throw Failure("decoder_memory", name + ": the picture needs more memory than it may have");
  }
  if (says(text, "Input/output error")) {
    throw Failure("file_unreadable", name + ": the disk cannot read the file", kWaitingMayHelp);
  }
  if (!file.complete || says(text, "remature end")) {
    throw Failure(
        "image_truncated",
        name + ": the picture ends in the middle, as if it had not been copied to its end");
  }
  throw Failure("image_corrupt", name + ": the picture is damaged and cannot be read");
}

}  // namespace

Loaded load(const SourceFile& file, const std::string& name, const Framing& framing,
            const Limits& limits) {
  try {
    const Header header = read_header(file);
    check_size(header.size, name, limits);
    const Picture decoded = decode(file, header, framing);
    Loaded loaded;
    loaded.picture = computed(in_8_bits(without_metadata(decoded)));
    loaded.source = header.size;
    loaded.icc = vips_image_get_typeof(loaded.picture.get(), VIPS_META_ICC_NAME) != 0;
    return loaded;
  } catch (const VipsError& error) {
    blame(error.what(), file, name);
  }
}

}  // namespace rowcrew::image
