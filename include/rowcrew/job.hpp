// One claimed job as a handler sees it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include <rowcrew/clock.hpp>
#include <rowcrew/log.hpp>

namespace rowcrew {

/// A row as it was claimed; a value, never written back.
struct Job {
  std::string id;        ///< text form: a uuid, or whatever an adopted table has
  std::string table;     ///< "job_queue", "processing_jobs" or the name of an adopted table
  std::string job_type;  ///< which handler
  std::string queue;
  std::string payload;  ///< JSON text as stored (jsonb output)
  std::int64_t claim_token = 0;
  int attempt = 1;  ///< this execution, counted from 1
  int max_attempts = 1;
  int crashes = 0;  ///< claims of this job that a node's death ended
  std::string app;  ///< whose ports: a name in rowcrew.app; empty: the only one, or the defaults
};

/// Handed to a handler for the time of one execution. Event thread only. It outlives the
/// handler's coroutine.
class JobContext {
 public:
  JobContext(const Job& job, Log& log, Mono deadline) : job_(job), log_(log), deadline_(deadline) {}

  const Job& job() const { return job_; }
  /// Carries job, job_type, attempt and queue in every line.
  Log& log() { return log_; }
  /// When the runtime cancels this execution. Pass what is left of it to every outgoing call.
  Mono deadline() const { return deadline_; }
  /// The payload as a JSON object. Throws PermanentError("bad_payload") if it is anything else.
  nlohmann::json payload() const;
  /// "<table>:<id>", stable over retries: send it with every effect outside the database.
  std::string idempotency_key() const { return job_.table + ":" + job_.id; }

 private:
  const Job& job_;
  Log& log_;
  Mono deadline_;
};

}  // namespace rowcrew
