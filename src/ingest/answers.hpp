// What the client is told. Pure.
#pragma once

#include <rowcrew/error.hpp>
#include <string_view>
#include <vector>

#include "ingest/refused.hpp"
#include "net/http_server.hpp"

namespace rowcrew {

/// 202 {"id":"…","created":true}. created is false when the idempotency key was used before: the id
/// is that of the first request's job, and the status stays 202, because to a client that repeats
/// after a lost answer both mean the same.
ServerResponse accepted(std::string_view id, bool created);

/// 200 {"ignored":true}: an event of a hook that nobody asked for. Anything but 2xx would make its sender repeat it.
ServerResponse ignored();

/// {"error":code,"message":sentence} with the status and headers of the refusal.
ServerResponse to_response(const Refused& refused);

/// 200 {"status":"ok"} or 503 {"status":"unavailable"}.
ServerResponse health(bool ok);

/// What a failure of the enqueueing statement means for the client: 401 (28000), 403 (42501),
/// 400 (22, 23, P0001), else 503 with Retry-After. 503 "outcome_unknown" says how to find out; only there
/// may the job have been enqueued.
Refused judge_enqueue_failure(const Error& error, bool has_idempotency_key);

/// The database is away, busy or not set up: nothing has been enqueued.
Refused unavailable();

/// What an operator has to know of such a failure and a client does not: "code" with the SQLSTATE, and
/// "database", the server's sentence, unless it is one that may quote the payload.
std::vector<LogField> cause_of(const Error& error);

/// Rolled back for a reason that another attempt may not meet: a deadlock, a lock that was not had
/// in time, a unique key whose job ended meanwhile.
bool worth_repeating(const Error& error);

/// The schema is not there or older than this program, or the role lacks its grants: "run …".
/// Empty for any other error.
std::string_view setup_advice(const Error& error);

}  // namespace rowcrew
