// One look at a watched folder: which regular files of the wanted kinds are new and no longer being
// written. Blocking code for a program of its own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace rowcrew::folder {

/// A file as it was at one moment: the same name in another version has another one.
struct Version {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  bool operator==(const Version&) const = default;
};

struct VersionHash {
  std::size_t operator()(const Version& version) const;
};

struct Request {
  std::string path;  ///< absolute
  std::chrono::milliseconds settle{500};
  std::unordered_set<Version, VersionHash> known;
  std::vector<std::string> extensions;  ///< lower case, without the dot
  std::size_t max_files = 200;          ///< reported at most
  std::uint64_t max_bytes = 0;          ///< read at most; a larger file is a problem of its own
  std::chrono::milliseconds max_time{0};  ///< no file is begun after this, the half; 0: not limited
};

struct Found {
  std::string name;  ///< bytes as the folder has them; any but "/" and NUL
  Version version;
  std::string sha256;   ///< empty when there is a problem
  std::string problem;  ///< "", "file_name", "file_unreadable", "file_too_large", "file_slow"
};

struct Report {
  std::vector<Found> files;  ///< the oldest first, then slow ones, then as many problems at most
  std::uint64_t young = 0;   ///< still being written, or changed while looked at
  bool more = false;         ///< there are new files that this report has no room for
};

/// The folder itself cannot be listed. `code`: folder_missing, not_a_folder, folder_unreadable.
class FolderError : public std::runtime_error {
 public:
  FolderError(std::string word, const std::string& sentence)
      : std::runtime_error(sentence), code_(std::move(word)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

/// Waits up to request.settle when there are files that changed within that time. Throws
/// FolderError, std::bad_alloc.
Report scan(const Request& request);

}  // namespace rowcrew::folder
