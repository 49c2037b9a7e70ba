#include "google_drive_backend.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rowcrew/deps.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/random.hpp>

#include "folder_backend.hpp"
#include "google_drive_look.hpp"

namespace rowcrew::drive_poll {
namespace {

constexpr std::chrono::milliseconds kOtherLook{1'000};

std::string read_url(const Settings& section, const char* key, const char* fallback) {
  std::string url = section.text(key, fallback);
  if (!url.starts_with("https://") && !url.starts_with("http://")) {
    throw ConfigError(section.full(key) + ": \"" + url + "\" found, expected an https:// URL");
  }
  while (url.ends_with('/')) url.pop_back();
  return url;
}

std::string read_spool(const Settings& section) {
  std::string path = section.text("spool");
  struct stat found {};
  const bool folder = is_usable_path(path) && ::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
  if (!folder || ::access(path.c_str(), W_OK | X_OK) != 0) {
    throw ConfigError(section.full("spool") + ": \"" + path + "\" is no absolute path of a folder that this user may write to");
  }
  while (path.ends_with('/')) path.pop_back();
  return path;
}

GoogleClient read_client(const Settings& section) {
  GoogleClient client;
  client.id = section.text("client_id");
  const auto secret = section.secret("client_secret");
  if (!secret || secret->empty()) throw ConfigError(section.full("client_secret") + ": is missing");
  client.secret = *secret;
  client.api = read_url(section, "api", "https://www.googleapis.com/drive/v3");
  client.token = read_url(section, "token_url", "https://oauth2.googleapis.com/token");
  return client;
}

/// Two looks would download the same files side by side.
class Looking {
 public:
  Looking(std::set<std::string>& all, std::string key) : all_(all), key_(std::move(key)) { all_.insert(key_); }
  Looking(const Looking&) = delete;
  Looking& operator=(const Looking&) = delete;
  ~Looking() { all_.erase(key_); }

 private:
  std::set<std::string>& all_;
  const std::string key_;
};

}  // namespace

GoogleSettings::GoogleSettings(const Settings& section)
    : client(read_client(section.section("google_drive"))), spool(read_spool(section.section("google_drive"))) {
  const FolderSettings shared(section);
  extensions = shared.extensions;
  timeout = shared.timeout;
  max_bytes = shared.max_bytes;
  max_files = shared.max_files;
}

GoogleDriveBackend::GoogleDriveBackend(const Deps& deps, GoogleSettings settings)
    : clock_(deps.clock),
      settings_(std::move(settings)),
      api_(deps.http, deps.clock, deps.log, settings_.client),
      spool_(settings_.spool, fmt::format("{:016x}", deps.random.bits())) {}

boost::asio::awaitable<Listing> GoogleDriveBackend::list_new(const WatchedFolder& folder, Mono deadline) {
  const std::string key = folder.app + "\n" + folder.id;
  if (looking_.contains(key)) {
    Listing nothing;
    nothing.otherwise = Outcome(Snooze(kOtherLook, "another look at this folder is not over yet"));
    co_return nothing;
  }
  const Looking looking(looking_, key);
  if (!swept_ || clock_.mono() - *swept_ > GoogleSpool::kOldest) {
    swept_ = clock_.mono();
    co_await spool_.sweep();
  }
  GoogleLook look(settings_, clock_, api_, spool_, folder, deadline);
  co_return co_await look.run();
}

std::unique_ptr<DriveBackend> make_google_drive_backend(const Deps& deps) {
  const Settings section = deps.kinds.section("drive_poll");
  const Settings google = section.section("google_drive");
  if (!google.has("client_id") && !google.has("spool")) return nullptr;
  return std::make_unique<GoogleDriveBackend>(deps, GoogleSettings(section));
}

}  // namespace rowcrew::drive_poll
