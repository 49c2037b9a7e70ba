// What a port "<job type>_ended" is told about an execution: pure.
#pragma once

#include <string>

#include "queue/job_table.hpp"

namespace rowcrew {

/// JSON: status, attempt, max_attempts, result (null when there is none), error_code, error_message,
/// duration_ms, for "retrying" retry_after_ms, and of a job of an adopted table its table and key.
/// Documented with rowcrew.port.
std::string ended_report(const EndedJob& ended);

/// The end of a job that a request to cancel has overtaken.
EndedJob as_cancelled(const EndedJob& ended);

/// Error code of a job that its port refused to see ended as it did.
inline constexpr char kPortFailed[] = "port_failed";

/// Whether ports hear of such an end: executions that the handler ended, and that ended for good or
/// will be repeated.
bool is_reported(Ending::Kind kind);

}  // namespace rowcrew
