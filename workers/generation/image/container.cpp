#include "container.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>

namespace rowcrew::image {
namespace {

using namespace std::string_view_literals;

[[noreturn]] void odd() {
  throw std::runtime_error("the encoder wrote a file of an odd form");
}

std::uint32_t number(std::string_view bytes, std::size_t at, std::size_t size, bool big_endian) {
  if (bytes.size() < at + size) odd();
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t next = big_endian ? at + i : at + size - 1 - i;
    value = value << 8 | static_cast<unsigned char>(bytes[next]);
  }
  return value;
}

std::string_view piece(std::string_view file, std::size_t at, std::size_t size) {
  if (size > file.size() - at) odd();
  return file.substr(at, size);
}

// Segments up to the start of the scan. JFIF, the profile (APP2) and Adobe's mark of the colour
// transform (APP14) are needed; all other application segments and comments are not.
std::string jpeg_only(std::string_view file) {
  constexpr unsigned kScan = 0xDA;
  std::string kept(piece(file, 0, 2));
  for (std::size_t at = 2;;) {
    const std::uint32_t marker = number(file, at, 2, true);
    if (marker >> 8 != 0xFF) odd();
    const unsigned kind = marker & 0xFF;
    if (kind == kScan) return kept.append(file.substr(at));
    const std::size_t size = 2 + number(file, at + 2, 2, true);
    const bool application = kind >= 0xE0 && kind <= 0xEF;
    const bool needed =
        kind == 0xE0 || kind == 0xE2 || kind == 0xEE || (!application && kind != 0xFE);
    if (needed) kept.append(piece(file, at, size));
    at += size;
  }
}

std::string png_only(std::string_view file) {
  constexpr std::array kUnneeded = {"eXIf"sv, "tEXt"sv, "zTXt"sv, "iTXt"sv, "tIME"sv};
  constexpr std::size_t kSignature = 8;
  std::string kept(piece(file, 0, kSignature));
  for (std::size_t at = kSignature; at < file.size();) {
    const std::size_t size = std::size_t{12} + number(file, at, 4, true);
    const std::string_view chunk = piece(file, at, size);
    const auto kind = chunk.substr(4, 4);
    if (std::find(kUnneeded.begin(), kUnneeded.end(), kind) == kUnneeded.end()) kept.append(chunk);
    at += size;
  }
  return kept;
}

std::string webp_only(std::string_view file) {
  constexpr std::size_t kHeader = 12;
  constexpr char kExifAndXmp = 0x08 | 0x04;  // flags of the extended header
  std::string kept(piece(file, 0, kHeader));
  for (std::size_t at = kHeader; at < file.size();) {
    const std::uint32_t length = number(file, at + 4, 4, false);
    const std::size_t size = std::size_t{8} + length + length % 2;
    const std::string_view chunk = piece(file, at, size);
    if (!chunk.starts_with("EXIF"sv) && !chunk.starts_with("XMP "sv)) {
      kept.append(chunk);
      if (chunk.starts_with("VP8X"sv)) {
        char& flags = kept[kept.size() - size + 8];
        flags = static_cast<char>(flags & ~kExifAndXmp);
      }
    }
    at += size;
  }
  const std::size_t content = kept.size() - 8;
  for (std::size_t i = 0; i < 4; ++i) kept[4 + i] = static_cast<char>(content >> (8 * i) & 0xFF);
  return kept;
}

}  // namespace

std::string only_picture(std::string_view file, Format format) {
  switch (format) {
    case Format::jpeg:
      return jpeg_only(file);
    case Format::png:
      return png_only(file);
    case Format::webp:
      return webp_only(file);
  }
  odd();
}

}  // namespace rowcrew::image
