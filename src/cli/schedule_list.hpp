// The schedules as they stand: when each is due next, and what became of its last moment. Pure but for the machine's time zones.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include <rowcrew/db.hpp>

#include "queue/cron.hpp"

namespace rowcrew::cli {

struct Schedule {
  std::string name, cron, zone, job_type, queue;
  std::chrono::milliseconds every{0};  ///< 0: by cron
  bool enabled = false;
  Cron::Moment since, now;  ///< moments count from `since`; the database's clock
  std::string last_text, job, status;  ///< empty: none
  std::optional<Cron::Moment> last;
};

/// Of the rows of cli/schedules.
std::vector<Schedule> read_schedules(const Rows& rows);
/// "2026-05-01 12:00:00 UTC", with ", overdue" behind it where nobody has seen to it; "off", "never", or what is wrong.
std::string due_text(const Schedule& schedule);
/// Since when nobody has seen to it: from the first moment that was missed. Nullopt: it is not overdue, or nobody here can tell.
std::optional<std::chrono::milliseconds> overdue_by(const Schedule& schedule);
nlohmann::ordered_json to_json(const Schedule& schedule);

}  // namespace rowcrew::cli
