#include "runtime/node_state.hpp"

#include "base/event.hpp"

namespace rowcrew {
namespace {

std::string key_of(std::string_view what, std::string_view of) { return std::string(what) + ' ' + std::string(of); }

}  // namespace

void NodeState::failed(std::string_view what, std::string_view of, std::string_view event, const Error& error) {
  std::optional<std::chrono::milliseconds> lasted;
  const auto* of_database = dynamic_cast<const DbError*>(&error);
  const bool away = of_database != nullptr && of_database->connection_lost();  // db.unreachable and db.crowded tell of that
  if (!away) lasted = troubles.failed(key_of(what, of), clock.mono());
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
