// Where watched folders lie: one backend per kind of storage.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include <rowcrew/clock.hpp>
#include <rowcrew/outcome.hpp>

namespace rowcrew::drive_poll {

/// A watched folder as the application's port describes it.
struct WatchedFolder {
  WatchedFolder() = default;
  std::string backend;
  std::string path;                        ///< in the backend's own terms, unchecked
  std::chrono::milliseconds settle{500};   ///< a file unchanged for so long is complete
  std::string app;  ///< the job's; with `id` it tells whose folder it is
  std::string id;   ///< the application's own name of the folder
  std::string description = "{}";  ///< JSON: all that the port says but `known`; may hold secrets
  std::string known = "[]";  ///< JSON: versions of files that are not to be reported again
};

/// What is new in a folder.
struct Listing {
  Listing() = default;
  /// Array of {"name", "path", "device", "inode", "size", "mtime_ns", "sha256"} (in place of device, inode
  /// and mtime_ns whatever tells versions of the backend's files apart), or of {"name", "problem", "message",
  /// …} for what cannot be taken: as the port takes them.
  nlohmann::json files = nlohmann::json::array();
  std::int64_t young = 0;  ///< files that are still being written: left to the next poll
  bool more = false;       ///< there are new files beyond these
  /// Where the next look goes on, for the application to keep with the end of this job. Nullopt: the backend
  /// knows no such thing. Empty: at the beginning.
  std::optional<std::string> position;
  /// How the job ends instead, where nothing was found because nothing could be asked.
  std::optional<Outcome> otherwise;
};

class DriveBackend {
 public:
  virtual ~DriveBackend() = default;

  /// Lists new files; changes nothing. Event thread only. Returns by `deadline` or throws.
  ///
  /// Throws PermanentError ("bad_folder": the path or what is known makes no sense here,
  /// "folder_missing", "not_a_folder", "folder_unreadable", "folder_too_large"); TransientError
  /// ("folder_timeout", "folder_crashed" and what else may pass); boost::system::system_error
  /// (operation_aborted) when cancelled.
  virtual boost::asio::awaitable<Listing> list_new(const WatchedFolder& folder, Mono deadline) = 0;
};

}  // namespace rowcrew::drive_poll
