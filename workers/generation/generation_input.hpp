// The answer of the port generation_input: pure.
#pragma once

#include <optional>
#include <string_view>
#include <variant>

#include <rowcrew/outcome.hpp>

#include "provider.hpp"

namespace rowcrew::generation {

/// Work to do, or the outcome that the application chose: Failed for {"refuse": {"code",
/// "message"}}, Snooze for {"wait_ms", "why"}. `answer` nullopt: the port returned NULL, so that
/// the job is nothing it knows (job_unknown).
///
/// Throws PermanentError ("bad_payload": a path is no absolute path of a file) and
/// BugError ("port_answer": the function answers in no form that is agreed).
std::variant<Work, Outcome> parse_input(std::optional<std::string_view> answer);

}  // namespace rowcrew::generation
