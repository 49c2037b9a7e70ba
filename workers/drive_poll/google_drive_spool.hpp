// Where downloads lie until the application has done with them: a folder of the node.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "google_drive_files.hpp"

namespace rowcrew::drive_poll {

/// Names are stable: the same version of a file has the same one at every look of the same watched folder, and
/// what bears it is whole. Reading and syncing block, and happen on a thread of its own.
class GoogleSpool {
 public:
  /// What nobody has written to for so long is nobody's download any more.
  static constexpr std::chrono::hours kOldest{1};

  /// `folder`: absolute, exists. `tag`: no other process that uses the folder has it.
  GoogleSpool(std::string folder, std::string tag) : folder_(std::move(folder)), tag_(std::move(tag)) {}
  GoogleSpool(const GoogleSpool&) = delete;
  GoogleSpool& operator=(const GoogleSpool&) = delete;
  ~GoogleSpool();

  /// Of a finished download. `owner` keeps watched folders apart: each may throw away what is its own.
  std::string path_of(const std::string& owner, const DriveFile& file, const std::string& extension) const;
  /// Where it is downloaded to: two nodes that bring the same file do not meet.
  std::string part_of(const std::string& path) const;
  /// Removes what was left there.
  static void clear(const std::string& part);
  /// Removes downloads that dead nodes have left. Never throws for what it cannot remove.
  boost::asio::awaitable<void> sweep();

  /// SHA-256 of the finished download; empty when there is none.
  boost::asio::awaitable<std::string> find(std::string path);
  /// Syncs and renames the download, if it is the file that Google told of; returns its SHA-256. Empty: it is
  /// another, and gone.
  ///
  /// Both throw TransientError("drive_spool").
  boost::asio::awaitable<std::string> keep(std::string path, DriveFile file);

 private:
  boost::asio::awaitable<std::string> on_thread(std::function<std::string()> work);

  const std::string folder_;
  const std::string tag_;
  boost::asio::thread_pool thread_{1};
};

}  // namespace rowcrew::drive_poll
