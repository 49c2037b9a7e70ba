// Watched folders of Google Drive: what is new is downloaded into the spool and handed over from there.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <rowcrew/settings.hpp>

#include "drive_backend.hpp"
#include "google_drive_api.hpp"
#include "google_drive_spool.hpp"

namespace rowcrew {
struct Deps;
}  // namespace rowcrew

namespace rowcrew::drive_poll {

/// Section kinds.drive_poll, and google_drive in it.
struct GoogleSettings {
  /// Throws ConfigError.
  explicit GoogleSettings(const Settings& section);

  GoogleClient client;
  std::string spool;
  std::vector<std::string> extensions;
  std::chrono::milliseconds timeout;
  std::uint64_t max_bytes;
  std::int64_t max_files;
};

class GoogleDriveBackend final : public DriveBackend {
 public:
  GoogleDriveBackend(const Deps& deps, GoogleSettings settings);

  /// Beside DriveBackend's errors: TransientError ("google_drive_answer", "drive_spool") and what
  /// HttpClient::send throws. Where no call is allowed now, or the owner took his access back, the listing says
  /// how the job ends instead.
  boost::asio::awaitable<Listing> list_new(const WatchedFolder& folder, Mono deadline) override;

 private:
  const Clock& clock_;
  const GoogleSettings settings_;
  GoogleApi api_;
  GoogleSpool spool_;
  std::optional<Mono> swept_;
  std::set<std::string> looking_;  ///< folders that a look is at
};

/// Nullptr where the node has no configuration for it. Throws ConfigError.
std::unique_ptr<DriveBackend> make_google_drive_backend(const Deps& deps);

}  // namespace rowcrew::drive_poll
