// Digests of texts and files, as lower-case hex.
#pragma once

#include <string>
#include <string_view>

namespace rowcrew {

std::string sha256_hex(std::string_view bytes);

struct FileDigests {
  FileDigests() = default;
  std::string md5;  ///< for what others tell of their files; no proof against malice
  std::string sha256;
};

/// Of a file's bytes, from where the descriptor stands to the end. Blocking: not for the event thread. Throws
/// std::system_error.
FileDigests digests_of(int fd);

}  // namespace rowcrew
