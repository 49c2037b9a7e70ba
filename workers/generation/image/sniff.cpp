#include "sniff.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>

namespace rowcrew::image {
namespace {

using namespace std::string_view_literals;

struct Known {
  std::string_view magic;
  std::size_t at;
  const char* what;
};

constexpr Known kKnown[] = {
    {"PK\x03\x04"sv, 0, "a ZIP archive (or an office document)"},
    {"PK\x05\x06"sv, 0, "an empty ZIP archive"},
    {"%PDF-"sv, 0, "a PDF document"},
    {"GIF8"sv, 0, "a GIF animation"},
    {"BM"sv, 0, "a BMP picture"},
    {"II*\0"sv, 0, "a TIFF or raw camera picture"},
    {"MM\0*"sv, 0, "a TIFF or raw camera picture"},
    {"8BPS"sv, 0, "a Photoshop document"},
    {"ftypheic"sv, 4, "a HEIC picture"},
    {"ftypheix"sv, 4, "a HEIC picture"},
    {"ftypmif1"sv, 4, "a HEIF picture"},
    {"ftypavif"sv, 4, "an AVIF picture"},
    {"ftyp"sv, 4, "a video"},
    {"\x1A\x45\xDF\xA3"sv, 0, "a video"},
    {"\x1F\x8B"sv, 0, "a gzip archive"},
    {"7z\xBC\xAF\x27\x1C"sv, 0, "a 7z archive"},
    {"Rar!"sv, 0, "a RAR archive"},
    {"\x7F"sv
     "ELF"sv,
     0, "a program"},
    {"MZ"sv, 0, "a program"},
    {"#!"sv, 0, "a script"},
    {"ID3"sv, 0, "a sound file"},
    {"RIFF"sv, 0, "a sound or video file"},
    {"OggS"sv, 0, "a sound or video file"},
};

bool holds(std::string_view bytes, std::string_view magic, std::size_t at) {
  return bytes.size() >= at + magic.size() && bytes.substr(at, magic.size()) == magic;
}

std::string lower_start(std::string_view head) {
  const auto first = head.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  std::string text(first == head.npos ? ""sv : head.substr(first, 16));
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

unsigned long long little_endian(std::string_view bytes) {
  unsigned long long number = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    number = number << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return number;
}

}  // namespace

const char* name_of(Format format) {
  switch (format) {
    case Format::jpeg:
      return "jpeg";
    case Format::png:
      return "png";
    case Format::webp:
      return "webp";
  }
  return "";
}

std::optional<Format> sniff(std::string_view head) {
  if (holds(head, "\xFF\xD8\xFF"sv, 0)) return Format::jpeg;
  if (holds(head, "\x89PNG\r\n\x1A\n"sv, 0)) return Format::png;
  if (holds(head, "RIFF"sv, 0) && holds(head, "WEBP"sv, 8)) return Format::webp;
  return std::nullopt;
}

std::string describe(std::string_view head) {
  for (const Known& known : kKnown) {
    if (holds(head, known.magic, known.at)) return known.what;
  }
  const std::string start = lower_start(head);
  if (start.starts_with("<!doctype html") || start.starts_with("<html")) return "an HTML page";
  if (start.starts_with("<svg")) return "an SVG drawing";
  if (start.starts_with("<?xml")) return "an XML document or SVG drawing";
  const bool text = std::all_of(head.begin(), head.end(), [](unsigned char c) {
    return (c >= ' ' && c < 0x7F) || c == '\n' || c == '\r' || c == '\t';
  });
  return text ? "a text" : "nothing that is known here";
}

bool ends_early(Format format, std::string_view head, std::string_view tail,
                unsigned long long size) {
  switch (format) {
    case Format::jpeg:
      return tail.find("\xFF\xD9"sv) == tail.npos;
    case Format::png:
      return tail.find("IEND"sv) == tail.npos;
    case Format::webp:
      return head.size() >= 8 && little_endian(head.substr(4, 4)) + 8 > size;
  }
  return false;
}

}  // namespace rowcrew::image
