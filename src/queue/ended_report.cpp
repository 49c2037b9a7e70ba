#include "queue/ended_report.hpp"

#include <nlohmann/json.hpp>

namespace rowcrew {

std::string ended_report(const EndedJob& ended) {
  const auto or_null = [](const std::string& text) { return text.empty() ? nlohmann::json() : nlohmann::json(text); };
  nlohmann::json report;
  report["status"] = ended.ending.status;
  if (!ended.job.table.empty() && ended.job.table != "job_queue" && ended.job.table != "processing_jobs") {
    report["table"] = ended.job.table;
    report["key"] = ended.job.id;
  }
  report["attempt"] = ended.job.attempt;
  report["max_attempts"] = ended.job.max_attempts;
  report["error_code"] = or_null(ended.ending.code);
  report["error_message"] = or_null(ended.ending.message);
  report["duration_ms"] = ended.duration_ms;
  if (ended.ending.kind == Ending::Kind::retry) report["retry_after_ms"] = ended.ending.delay.count();
  // A result that is no JSON is refused by the statement before this one.
  report["result"] = ended.ending.result.empty() ? nlohmann::json() : nlohmann::json::parse(ended.ending.result, nullptr, false);
  return report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

EndedJob as_cancelled(const EndedJob& ended) {
  EndedJob cancelled = ended;
  if (ended.ending.kind == Ending::Kind::cancelled) return cancelled;
  cancelled.ending.kind = Ending::Kind::cancelled;
  cancelled.ending.status = "cancelled";
  cancelled.ending.code = "cancelled";
  cancelled.ending.message = "cancelled while it ended";
  cancelled.ending.result.clear();
  cancelled.ending.delay = {};
  return cancelled;
}

bool is_reported(Ending::Kind kind) {
  return kind == Ending::Kind::completed || kind == Ending::Kind::retry || kind == Ending::Kind::failed ||
         kind == Ending::Kind::cancelled;
}

}  // namespace rowcrew
