// What a request must look like before its body is read as a job. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ingest/refused.hpp"
#include "net/http_server.hpp"

namespace rowcrew {

enum class Route { enqueue, hook, health, ready };

/// POST /v1/jobs, POST /v1/hooks/<name>, GET /healthz, GET /readyz (HEAD counts as GET). Throws Refused: 404, or 405 with
/// Allow.
Route find_route(std::string_view method, std::string_view path);

/// <name> of /v1/hooks/<name>.
std::string_view hook_name(std::string_view path);

/// The API key of "Authorization: Bearer <key>". Throws Refused 401 when there is none.
std::string bearer_key(const ServerRequest& request);
/// The 401 for a missing, malformed, unknown or revoked key: which of them is never said.
Refused unauthorized();

/// Throws Refused 415 unless Content-Type is application/json (charset utf-8 or none).
void require_json(const ServerRequest& request);

/// The one Idempotency-Key, if there is one. Throws Refused 400 unless it is 1 to 200 printable
/// ASCII characters.
std::optional<std::string> idempotency_key(const ServerRequest& request);

}  // namespace rowcrew
