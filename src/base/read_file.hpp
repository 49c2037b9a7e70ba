// Whole small files, with the kernel's reason when that fails.
#pragma once

#include <cstddef>
#include <string>

namespace rowcrew {

struct ReadResult {
  std::string content;
  std::string reason;    ///< empty: read; else "Permission denied", "larger than 65536 bytes", …
  bool missing = false;  ///< there is no such file

  bool ok() const { return reason.empty(); }
};

/// Blocking; for start-up.
ReadResult read_file(const std::string& path, std::size_t max_bytes);

}  // namespace rowcrew
