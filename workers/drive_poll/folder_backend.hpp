// Watched folders of a mounted file system, looked at by the program rowcrew-folder: the file
// system may hang or the folder be hostile, and neither may hold up a node.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <rowcrew/child_runner.hpp>
#include <rowcrew/settings.hpp>

#include "drive_backend.hpp"

namespace rowcrew::drive_poll {

/// Section kinds.drive_poll.
struct FolderSettings {
  /// Throws ConfigError.
  explicit FolderSettings(const Settings& section);

  std::string program;  ///< of rowcrew-folder; empty: it was not found
  std::vector<std::string> extensions;
  std::chrono::milliseconds timeout;
  std::uint64_t max_memory;
  std::uint64_t max_bytes;
  std::int64_t max_files;
};

/// Absolute, without "." and ".." and empty segments, not the root, at most 4,000 bytes.
bool is_usable_path(std::string_view path);

class FolderBackend final : public DriveBackend {
 public:
  FolderBackend(ChildRunner& children, const Clock& clock, const Settings& section)
      : children_(children), clock_(clock), settings_(section) {}

  /// Beside DriveBackend's errors: PermanentError ("folder_program": rowcrew-folder is not
  /// installed), and what ChildRunner::run throws.
  boost::asio::awaitable<Listing> list_new(const WatchedFolder& folder, Mono deadline) override;

 private:
  ChildRequest request_for(const WatchedFolder& folder, Mono deadline) const;

  ChildRunner& children_;
  const Clock& clock_;
  FolderSettings settings_;
};

/// What rowcrew-folder's end means. Throws as list_new does.
Listing judge(const ChildResult& result);

}  // namespace rowcrew::drive_poll
