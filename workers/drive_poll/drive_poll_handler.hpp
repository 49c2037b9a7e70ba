// Kind `drive_poll`: looks for new files in a watched folder and hands them to the application.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include <rowcrew/db.hpp>
#include <rowcrew/handler.hpp>
#include <rowcrew/ports.hpp>

#include "drive_backend.hpp"

namespace rowcrew {
class Registry;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::drive_poll {

using Backends = std::map<std::string, std::unique_ptr<DriveBackend>, std::less<>>;

/// The backends that this program has.
Backends make_backends(const Deps& deps);

class DrivePollHandler final : public Handler {
 public:
  /// Reads kinds.drive_poll. Throws ConfigError.
  explicit DrivePollHandler(const Deps& deps) : DrivePollHandler(deps, make_backends(deps)) {}
  DrivePollHandler(const Deps& deps, Backends backends);

  /// Completes with {"skipped": why} or {"found": n, "new": m, "young": y}, with "problems" and
  /// "more" where there are any. Throws PermanentError ("bad_payload", "bad_folder",
  /// "unknown_backend") and what DriveBackend::list_new, Ports::bind and Db::query throw.
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  boost::asio::awaitable<Outcome> poll(JobContext& context, std::string id, WatchedFolder folder);
  boost::asio::awaitable<std::int64_t> hand_over(JobContext& context, std::string id,
                                                 const nlohmann::json& files);
  WatchedFolder folder_of(const Rows& rows) const;

  Db& db_;
  Ports& ports_;
  Backends backends_;
  std::chrono::milliseconds settle_;  ///< where the port names none
};

}  // namespace rowcrew::drive_poll

namespace rowcrew {

void register_drive_poll(Registry& registry, Deps& deps);

}  // namespace rowcrew
