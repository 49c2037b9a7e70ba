#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <rowcrew/enqueue.hpp>
#include <rowcrew/error.hpp>

#include "sql/enqueue.hpp"

namespace rowcrew {
namespace {

using nlohmann::json;

std::string_view word(NewJob::IfExists if_exists) {
  switch (if_exists) {
    case NewJob::IfExists::keep: return "keep";
    case NewJob::IfExists::replace: return "replace";
    case NewJob::IfExists::reject: return "reject";
  }
  return "keep";
}

Enqueued::Result result_of(std::string_view outcome) {
  if (outcome == "created") return Enqueued::Result::created;
  if (outcome == "kept") return Enqueued::Result::kept;
  if (outcome == "replaced") return Enqueued::Result::replaced;
  if (outcome == "running") return Enqueued::Result::running;
  throw BugError("bad_job", fmt::format("enqueue: outcome \"{}\", expected created, kept, replaced or running", outcome));
}

/// The payload goes in as the text that it is: parsing it here would round its numbers.
std::string element(const NewJob& job) {
  if (!json::accept(job.payload)) {
    throw PermanentError("bad_job", fmt::format("enqueue: the payload of a job of type \"{}\" is no JSON", job.job_type));
  }
  json fields{{"job_type", job.job_type}, {"if_exists", word(job.if_exists)}};
  if (job.queue) fields["queue"] = *job.queue;
  if (job.priority) fields["priority"] = *job.priority;
  if (job.delay) fields["delay_ms"] = job.delay->count();
  if (job.max_attempts) fields["max_attempts"] = *job.max_attempts;
  if (job.app) fields["app"] = *job.app;
  if (job.tenant) fields["tenant"] = *job.tenant;
  if (job.unique_key) fields["unique_key"] = *job.unique_key;
  std::string text = fields.dump(-1, ' ', false, json::error_handler_t::replace);
  text.pop_back();
  return text + R"(,"payload":)" + job.payload + "}";
}

}  // namespace

std::vector<Enqueued> enqueue(Tx& tx, const std::vector<NewJob>& jobs) {
  std::string array = "[";
  for (const NewJob& job : jobs) {
    if (array.size() > 1) array += ',';
    array += element(job);
  }
  array += ']';
  const Rows rows = tx.exec(enqueue_sql::many, Params{}.add(array));
  std::vector<Enqueued> done;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Enqueued one;
    one.id = rows.text(i, 0);
    one.result = result_of(rows.text(i, 1));
    done.push_back(std::move(one));
  }
  return done;
}

Enqueued enqueue(Tx& tx, const NewJob& job) {
  return enqueue(tx, std::vector<NewJob>{job}).at(0);
}

}  // namespace rowcrew
