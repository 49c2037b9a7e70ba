// The picture as it lies on disk, opened with suspicion.
#pragma once

#include <cstdint>
#include <string>

#include "descriptor.hpp"
#include "sniff.hpp"

namespace rowcrew::image {

struct SourceFile {
  Descriptor fd;
  std::uint64_t size = 0;
  Format format = Format::jpeg;
  bool complete = true;  ///< its end is where its structure puts it
};

/// Never hangs: a FIFO, a device, a directory and a symbolic link are refused.
///
/// Throws Failure: file_missing, file_unreadable (waiting may help after an I/O error), file_empty,
/// file_too_large, not_an_image.
SourceFile open_source(const std::string& path, std::uint64_t max_bytes);

/// The same of what is open already; `path` is for sentences.
SourceFile examine(Descriptor fd, const std::string& path, std::uint64_t max_bytes);

/// A regular file or whatever else has that name: opened for reading, without waiting.
Descriptor open_file(const std::string& path);

/// The last part of a path with everything unprintable replaced, 100 bytes at most: for sentences.
std::string shown(const std::string& path);

}  // namespace rowcrew::image
