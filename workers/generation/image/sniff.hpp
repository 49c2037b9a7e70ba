// What a file is, by its first bytes; its name does not count.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rowcrew::image {

enum class Format { jpeg, png, webp };

const char* name_of(Format format);

/// Nullopt for anything else. 16 bytes are enough.
std::optional<Format> sniff(std::string_view head);

/// "a ZIP archive", "an HTML page"; "no image that is known here" at worst. For sentences.
std::string describe(std::string_view head);

/// Whether a file that cannot be decoded ends before its own structure says so. `tail`: its last
/// bytes, up to 64; `head`: its first ones.
bool ends_early(Format format, std::string_view head, std::string_view tail,
                unsigned long long size);

}  // namespace rowcrew::image
