// What the page may change: the same functions that the commands call, each act one row of the audit log.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <rowcrew/db.hpp>

namespace rowcrew::web {

/// What an act is asked with; which of these it needs depends on it.
struct ActRequest {
  ActRequest() = default;
  std::string act;  ///< cancel, redrive, pause, resume
  std::string job;
  std::string scope;
  std::string name;
  std::optional<std::string> reason;
  std::optional<std::int64_t> for_ms;

  std::string subject() const { return job.empty() ? scope + " " + name : job; }
};

/// Whether there is an act of that name.
bool is_act(std::string_view name);

/// From the body of a request, a JSON object. Throws WebRefusal 400 naming the field: unknown, missing, of another type.
ActRequest parse_act(std::string_view act, std::string_view body);

/// Carries it out and tells what became of it: cancel cancelled, requested, ended or foreign; redrive redriven or the status that
/// is not "failed"; pause paused; resume resumed or "was not paused". For a database thread. Throws DbError, WebRefusal 404.
std::string carry_out(Tx& tx, const ActRequest& request);

}  // namespace rowcrew::web
