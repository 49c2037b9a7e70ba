#include "ingest/ingest_handler.hpp"

#include <algorithm>
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
      case Route::hook: {
        auto taken = take_hook(std::move(request), caller);
        co_return co_await std::move(taken);
      }
      case Route::enqueue:
        break;
    }
    auto done = enqueue(std::move(request), caller);
    co_return co_await std::move(done);
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
  co_return enqueued(done, caller);
}

const Hook& IngestHandler::find_hook(std::string_view path) const {
  if (inbound_ != nullptr) {
    const auto found = inbound_->hooks.find(hook_name(path));
    if (found != inbound_->hooks.end()) return found->second;
  }
  throw Refused(404, "not_found", "no such hook");
}

boost::asio::awaitable<ServerResponse> IngestHandler::take_hook(ServerRequest request, Caller& caller) {
  const Hook& hook = find_hook(request.path);
  caller.hook = hook.name;
  const auto now = std::chrono::floor<std::chrono::seconds>(inbound_->clock.wall());
  const HookEvent told = verify_hook(hook, request, now.time_since_epoch().count());
  caller.event = told.type;
  if (!hook.events.empty() && std::find(hook.events.begin(), hook.events.end(), told.type) == hook.events.end()) {
    log_.debug(event::kIngestIgnored, {{"hook", hook.name}, {"event_type", told.type}, {"peer", caller.peer}});
    co_return ignored();
  }
  caller.job_type = hook.job_type;
  JobRequest job;
  job.job_type = hook.job_type;
  job.payload = hook_payload(hook, told, request.body);
  if (!hook.queue.empty()) job.queue = hook.queue;
  auto insertion = insert(hook.key_hash, std::move(job), std::optional(told.id));
  try {
    const Enqueued done = co_await std::move(insertion);
    co_return enqueued(done, caller);
  } catch (Refused& refused) {
    if (refused.status != 401 && refused.status != 403) throw;
    // It is our key that is at fault: the sender is to come again once that is mended.
    Refused ours(503, "hook_unusable", "hook " + hook.name + ": its api_key may not enqueue jobs of type " + hook.job_type,
                 {{"Retry-After", "60"}});
    ours.cause = refused.cause;
    throw ours;
  }
}

ServerResponse IngestHandler::enqueued(const Enqueued& done, const Caller& caller) {
  std::vector<LogField> fields = {{"job", done.id}, {"job_type", caller.job_type}};
  add_origin(fields, caller);
  fields.emplace_back("created", done.created ? "true" : "false");
  fields.emplace_back("peer", caller.peer);
  log_.info(event::kIngestEnqueued, fields);
  if (metrics_ != nullptr) metrics_->accepted(done.created);
  return accepted(done.id, done.created);
}

void IngestHandler::add_origin(std::vector<LogField>& fields, const Caller& caller) {
  if (!caller.key_name.empty()) fields.emplace_back("key", caller.key_name);
  if (!caller.hook.empty()) fields.emplace_back("hook", caller.hook);
  if (!caller.event.empty()) fields.emplace_back("event_type", caller.event);
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
  add_origin(fields, caller);
  if (!caller.job_type.empty()) fields.emplace_back("job_type", caller.job_type);
  fields.emplace_back("peer", caller.peer);
  fields.insert(fields.end(), refused.cause.begin(), refused.cause.end());
  const auto level = refused.status >= 500 ? LogLevel::warning : LogLevel::info;
  if (log_.enabled(level)) log_.write(level, event::kIngestRefused, fields, refused.what());
  if (metrics_ != nullptr) metrics_->refused(refused.status, refused.code());
  return to_response(refused);
}

}  // namespace rowcrew
