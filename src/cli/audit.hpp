// The trail of what people did.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include <rowcrew/db.hpp>

namespace rowcrew::cli {

/// Writes one row of audit_logs in the transaction of the act itself. The actor is the database
/// role; who sat at which machine is added to `metadata`. Never a secret, never a payload.
void audit(Tx& tx, std::string_view action, std::string_view target, nlohmann::json metadata);

}  // namespace rowcrew::cli
