#include "queue/transition.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/db_error.hpp>

#include "base/escape.hpp"

namespace rowcrew {
namespace {

/// Messages quote strangers (a child's output, an answer's body): PostgreSQL's text takes neither NUL
/// nor broken UTF-8, and what it refuses would cost the job its ending.
std::string storable(std::string text) {
  std::erase(text, '\0');
  const nlohmann::json cut(cut_utf8(text, Ending::kMaxMessageBytes));
  text = cut.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text = nlohmann::json::parse(text).get<std::string>();
  return std::string(cut_utf8(text, Ending::kMaxMessageBytes));  // U+FFFD is longer than a byte
}

std::chrono::milliseconds bounded(std::chrono::milliseconds delay) {
  return std::clamp(delay, std::chrono::milliseconds(0), Ending::kLongestDelay);
}

std::string waiting_status(const Job& job) { return job.attempt > 1 ? "retrying" : "pending"; }

/// There was no database to ask, or none that writes: not this execution's failure. A connection that
/// broke under a statement may be, and counts.
bool database_was_away(const Error& error) {
  const auto* db = dynamic_cast<const DbError*>(&error);
  if (db == nullptr || !db->connection_lost()) return false;
  return db->sqlstate() == "08001" || db->sqlstate() == kTooManyConnections || db->sqlstate() == "25006";
}

Ending failed(const std::string& code, const std::string& message) {
  Ending e;
  e.kind = Ending::Kind::failed;
  e.status = "failed";
  e.code = storable(code);
  e.message = storable(message);
  return e;
}

struct Decider {
  const Job& job;
  const RetryPolicy& policy;
  double unit;

  Ending operator()(const Completed& c) const {
    Ending e;
    e.status = "completed";
    e.result = c.result;
    return e;
  }
  Ending operator()(const Settled&) const { return (*this)(Completed()); }
  Ending operator()(const Retry& r) const {
    const RetryRule* rule = policy.rule(r.code);
    if (job.attempt >= job.max_attempts || (rule != nullptr && rule->permanent)) return failed(r.code, r.message);
    const auto delay = bounded(r.after.value_or(policy.delay(job.attempt, unit, r.code)));
    if (policy.left && delay > *policy.left) {
      return failed(r.code, r.message + " (the next execution would begin later than its job type allows)");
    }
    Ending e;
    e.code = storable(r.code);
    e.message = storable(r.message);
    e.kind = Ending::Kind::retry;
    e.status = "retrying";
    e.delay = delay;
    return e;
  }
  Ending operator()(const Snooze& s) const {
    Ending e;
    e.kind = Ending::Kind::snooze;
    e.status = waiting_status(job);
    e.message = storable(s.reason);
    e.delay = bounded(s.after);
    e.counts = false;
    return e;
  }
  Ending operator()(const Failed& f) const {
    if (policy.rule(f.code) != nullptr) return (*this)(Retry(f.code, f.message));  // which the rule decides
    return failed(f.code, f.message);
  }
  Ending operator()(const Cancelled& c) const {
    Ending e;
    e.kind = Ending::Kind::cancelled;
    e.status = "cancelled";
    e.code = "cancelled";
    e.message = storable(c.reason);
    return e;
  }
};

}  // namespace

std::string_view outcome_word(Ending::Kind kind) {
  switch (kind) {
    case Ending::Kind::completed: return "completed";
    case Ending::Kind::retry: return "retry";
    case Ending::Kind::snooze: return "snooze";
    case Ending::Kind::failed: return "failed";
    case Ending::Kind::cancelled: return "cancelled";
    case Ending::Kind::released: return "released";
  }
  return "unknown";
}

Ending decide(const Job& job, const Outcome& outcome, const RetryPolicy& policy, double unit) {
  return std::visit(Decider{job, policy, unit}, outcome);
}

Ending released(const Job& job) {
  Ending e;
  e.kind = Ending::Kind::released;
  e.status = waiting_status(job);
  e.counts = false;
  return e;
}

Outcome outcome_of(std::exception_ptr error, bool& is_bug) {
  is_bug = false;
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    if (database_was_away(e) || e.code() == "child_shortage") return Snooze(std::chrono::seconds(1), e.what());
    if (e.error_class() == ErrorClass::permanent) return Failed(e.code(), e.what());
    is_bug = e.error_class() == ErrorClass::bug;
    return Retry(e.code(), e.what());
  } catch (const std::exception& e) {
    is_bug = true;
    return Retry("exception", e.what());
  } catch (...) {
    is_bug = true;
    return Retry("exception", "the handler threw something that is no std::exception");
  }
}

}  // namespace rowcrew
