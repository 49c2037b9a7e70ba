// One look at a watched folder of Google Drive.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "google_drive_backend.hpp"

namespace rowcrew::drive_poll {

/// Reads pages, downloads what is wanted and new, one file after the other, and keeps count of how far the
/// folder is done with: the position moves over a page when every file in it was handed over, told as a
/// problem that stays, or is none of ours.
class GoogleLook {
 public:
  GoogleLook(const GoogleSettings& settings, const Clock& clock, GoogleApi& api, GoogleSpool& spool,
             const WatchedFolder& folder, Mono deadline);

  boost::asio::awaitable<Listing> run();

 private:
  boost::asio::awaitable<void> list();
  boost::asio::awaitable<void> change_pages();
  boost::asio::awaitable<bool> check_folder();
  boost::asio::awaitable<void> take_all(const std::vector<DriveFile>& files);
  boost::asio::awaitable<void> take(const DriveFile& file, const std::string& extension);
  boost::asio::awaitable<std::string> bring(const DriveFile& file, const std::string& path);
  boost::asio::awaitable<bool> download(const DriveFile& file, const std::string& part);
  /// The answer to a call that is no download; nullopt: the look is over.
  boost::asio::awaitable<std::optional<GoogleAnswer>> ask(GoogleCall call, std::string target);

  bool has_room(const DriveFile& file);
  void found(const DriveFile& file, const std::string& path, const std::string& sha256);
  void tell(const DriveFile& file, const std::string& code, const std::string& message);
  void stop(const GoogleVerdict& verdict);
  void later(const std::string& code, const std::string& message);

  const GoogleSettings& settings_;
  const Clock& clock_;
  GoogleApi& api_;
  GoogleSpool& spool_;
  const std::string owner_;  ///< whose the downloads are
  GoogleFolder folder_;
  const Mono began_;
  const Mono until_;
  const std::shared_ptr<GoogleAccount> account_;
  DrivePosition position_;  ///< after this look
  Listing listing_;
  std::uint64_t bytes_ = 0;  ///< downloaded
  int found_ = 0;
  int problems_ = 0;
  int failures_ = 0;     ///< downloads that may succeed later
  bool held_ = false;    ///< something before here was left: the position stays
  bool stopped_ = false;
  bool untold_ = false;    ///< there are more problems than one look tells
  bool new_page_ = false;  ///< the kept page token is none: list instead
};

}  // namespace rowcrew::drive_poll
