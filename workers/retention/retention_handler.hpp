// Kind `retention`: removes, or moves into the archive, what has been kept for as long as policies
// say.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>
#include <rowcrew/handler.hpp>

namespace rowcrew {
class Registry;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::retention {

/// What a payload asks for.
struct Order {
  Order(std::optional<std::string> name, bool dry) : policy(std::move(name)), dry_run(dry) {}
  std::optional<std::string> policy;  ///< none: all that are enabled
  bool dry_run;
};

/// {"policy": "<name>", "dry_run": true}, both optional. Throws PermanentError("bad_payload").
Order parse_order(const nlohmann::json& payload);

/// One policy in one execution.
struct Walk {
  Walk(std::string policy, bool dry, std::optional<std::string> from)
      : name(std::move(policy)), dry_run(dry), after(std::move(from)) {}
  std::string name;
  bool dry_run;
  std::optional<std::string> after;  ///< where its last page ended; empty: at the beginning
  std::int64_t looked_at = 0;
  std::int64_t removed = 0;   ///< rows that left their table
  std::int64_t archived = 0;  ///< of these, into the archive
  std::int64_t kept = 0;      ///< rows that another table refers to, or whose partition is in use
  bool refused = false;       ///< the database let go none of a page
};

class RetentionHandler final : public Handler {
 public:
  explicit RetentionHandler(const Deps& deps);

  /// Completes with {"policies": [{"name", "looked_at", "removed", "archived", "kept", "dry_run"}]};
  /// snoozes when the deadline is near, to go on where it was. Codes: unknown_policy,
  /// policy_disabled, policy_refused, dry_run_too_long, bad_payload, and those of Db::query.
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  enum class End { finished, out_of_time };
  boost::asio::awaitable<End> walk(Walk& walk, JobContext& context);

  Db& db_;
  const Clock& clock_;
};

}  // namespace rowcrew::retention

namespace rowcrew {

void register_retention(Registry& registry, Deps& deps);

}  // namespace rowcrew
