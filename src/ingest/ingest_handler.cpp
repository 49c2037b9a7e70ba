#include "ingest/ingest_handler.hpp"

#include <optional>
#include <utility>
#include <vector>

#include "base/cipher.hpp"
#include "base/event.hpp"
#include "ingest/request_rules.hpp"
#include "sql_queries.hpp"

namespace rowcrew {
namespace {

/// How often a transaction that was rolled back for a passing reason is sent in all.
constexpr int kTries = 3;

Params enqueue_params(std::string_view key_hash, const JobRequest& job,
                      const std::optional<std::string>& once) {
  Params params;
  params.add(key_hash).add(job.job_type).add(job.payload).add(once).add(job.queue);
  job.priority ? params.add(*job.priority) : params.add(std::nullopt);
  job.delay ? params.add(*job.delay) : params.add(std::nullopt);
  params.add(job.unique_key).add(job.tenant);
  return params;
}

}  // namespace

boost::asio::awaitable<ServerResponse> IngestHandler::answer(ServerRequest request) {
  Caller caller;
  caller.peer = request.peer;
  try {
    switch (find_route(request.method, request.path)) {
      case Route::health:
        co_return health(true);
      case Route::ready:
        co_return health(probe_.ready());
      case Route::enqueue:
        break;
    }
    auto enqueued = enqueue(std::move(request), caller);
    co_return co_await std::move(enqueued);
  } catch (const Refused& refused) {
    co_return refuse(refused, caller);
  }
}

boost::asio::awaitable<ServerResponse> IngestHandler::enqueue(ServerRequest request,
                                                              Caller& caller) {
  const std::string key_hash = sha256_hex(bearer_key(request));
  require_json(request);
  auto once = idempotency_key(request);
  caller.key_name = co_await find_key_name(key_hash);
  JobRequest job = parse_job_request(request.body);
  caller.job_type = job.job_type;
  auto insertion = insert(key_hash, std::move(job), std::move(once));
  const Enqueued done = co_await std::move(insertion);
  log_.info(event::kIngestEnqueued, {{"job", done.id},
                                     {"job_type", caller.job_type},
                                     {"key", caller.key_name},
                                     {"created", done.created ? "true" : "false"},
                                     {"peer", caller.peer}});
  if (metrics_ != nullptr) metrics_->accepted(done.created);
  co_return accepted(done.id, done.created);
}

boost::asio::awaitable<std::string> IngestHandler::find_key_name(std::string key_hash) {
  Params params;
  params.add(key_hash);
  try {
    const Rows rows = co_await db_.query(sql::ingest_key, std::move(params));
    probe_.note_success();
    if (rows.empty()) throw unauthorized();
    co_return std::string(rows.text(0, 0));
  } catch (const Refused&) {
    throw;
  } catch (const Error& e) {
    probe_.note_failure(e);
    Refused refused = unavailable();
    refused.cause = cause_of(e);
    throw refused;
  }
}

boost::asio::awaitable<IngestHandler::Enqueued> IngestHandler::insert(
    std::string key_hash, JobRequest job, std::optional<std::string> once) {
  for (int left = kTries - 1;; --left) {
    try {
      auto params = enqueue_params(key_hash, job, once);
      const Rows rows = co_await db_.query(sql::ingest_enqueue, std::move(params));
      Enqueued done;
      done.id = rows.text(0, 0);
      done.created = rows.boolean(0, 1);
      co_return done;
    } catch (const Error& e) {
      if (left > 0 && worth_repeating(e)) continue;
      Refused refused = judge_enqueue_failure(e, once.has_value());
      refused.cause = cause_of(e);
      if (refused.status == 503) probe_.note_failure(e);
      throw refused;
    }
  }
}

ServerResponse IngestHandler::refuse(const Refused& refused, const Caller& caller) {
  std::vector<LogField> fields = {{"status", refused.status}, {"reason", refused.code()}};
  if (!caller.key_name.empty()) fields.emplace_back("key", caller.key_name);
  if (!caller.job_type.empty()) fields.emplace_back("job_type", caller.job_type);
  fields.emplace_back("peer", caller.peer);
  fields.insert(fields.end(), refused.cause.begin(), refused.cause.end());
  const auto level = refused.status >= 500 ? LogLevel::warning : LogLevel::info;
  if (log_.enabled(level)) log_.write(level, event::kIngestRefused, fields, refused.what());
  if (metrics_ != nullptr) metrics_->refused(refused.status, refused.code());
  return to_response(refused);
}

}  // namespace rowcrew
