// Jobs that a handler enqueues: in a transaction, with whatever else that does.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rowcrew/db.hpp>

namespace rowcrew {

/// What is not given comes from rowcrew.job_type.
struct NewJob {
  explicit NewJob(std::string type, std::string payload_json = "{}")
      : job_type(std::move(type)), payload(std::move(payload_json)) {}

  std::string job_type;  ///< 1 to 100 characters
  std::string payload;   ///< JSON text
  std::optional<std::string> queue;
  std::optional<int> priority;                     ///< 0 to 9, 0 is first
  std::optional<std::chrono::milliseconds> delay;  ///< from the database's now
  std::optional<int> max_attempts;                 ///< executions in total, 1 to 1000
  std::optional<std::string> app;                  ///< whose ports
  std::optional<std::string> tenant;               ///< on whose behalf, for limits, pauses and cancels by tenant
  std::optional<std::string> unique_key;           ///< at most one live job of it
  /// When a live job has the key.
  enum class IfExists { keep, replace, reject } if_exists = IfExists::keep;
};

struct Enqueued {
  enum class Result {
    created,
    kept,      ///< a live job has the key; `id` is that job's
    replaced,  ///< it waited, and is now this one
    running,   ///< it runs and was left alone although `replace` was asked for
  };
  std::string id;
  Result result = Result::created;
};

/// All or nothing, with one statement; results in the order of `jobs`.
///
/// Throws PermanentError ("bad_job") for a payload that is no JSON, and DbError: 22023 for a field out of
/// its range, 23505 for a key that `reject` found taken.
std::vector<Enqueued> enqueue(Tx& tx, const std::vector<NewJob>& jobs);
Enqueued enqueue(Tx& tx, const NewJob& job);

}  // namespace rowcrew
