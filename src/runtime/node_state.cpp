#include "runtime/node_state.hpp"

#include "base/event.hpp"

namespace rowcrew {
namespace {

/// Whoever connects tells of that: db.unreachable, db.crowded. Of a connection that is lost under what it
/// does, and of the next one as well, nobody tells. A pool that was stopped is the node's own doing.
bool told_elsewhere(const Error& error) {
  if (error.code() == "db_stopped") return true;
  const auto* of_database = dynamic_cast<const DbError*>(&error);
  if (of_database == nullptr || !of_database->connection_lost()) return false;
  return of_database->sqlstate() == "08001" || of_database->sqlstate() == kTooManyConnections;
}

std::string key_of(std::string_view what, std::string_view of) {
  return of.empty() ? std::string(what) : std::string(what) + " of " + std::string(of);
}

}  // namespace

void NodeState::failed(std::string_view what, std::string_view of, std::string_view event, const Error& error) {
  std::optional<std::chrono::milliseconds> lasted;
  if (!told_elsewhere(error)) lasted = troubles.failed(key_of(what, of), clock.mono(), error.what());
  if (lasted) {
    log.warning(event::kWorkFailing, {{"what", what}, {"of", of}, {"code", error.code()}, {"for_ms", lasted->count()}}, error.what());
  } else {
    log.debug(event, {{"code", error.code()}}, error.what());
  }
}

void NodeState::worked(std::string_view what, std::string_view of) {
  if (!troubles.any()) return;  // asked with every claim
  const auto lasted = troubles.worked(key_of(what, of), clock.mono());
  if (lasted) log.info(event::kWorkResumed, {{"what", what}, {"of", of}, {"after_ms", lasted->count()}}, "works again");
}

}  // namespace rowcrew
