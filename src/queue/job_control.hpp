// What operators' acts and handlers' words mean for one job table: one method per statement of
// sql/queries/{cancel,pause,progress}. Beside JobTable, which claims and finishes.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <rowcrew/db.hpp>

#include "pg/statement_template.hpp"
#include "queue/table_map.hpp"

namespace rowcrew {

struct CancelRequest {
  std::string id;
  std::string note;  ///< what the job's end says: who, and why
};

/// A request that was carried out, or came too late.
struct SettledCancel {
  std::string id;
  std::string job_type;
  std::string before;  ///< its status when the request was looked at
  std::string now;
  std::string note;
};

struct JobAge {
  std::string id;
  std::chrono::milliseconds since_created{0};
  std::chrono::milliseconds since_due{0};
};

/// What a running job says of itself; absent parts stay as they are in the database.
struct ProgressWord {
  std::string id;
  std::int64_t token = 0;
  std::optional<int> percent;
  std::optional<std::string> note;
  std::optional<std::string> checkpoint;  ///< JSON
};

/// All calls on the event thread; all throw DbError as Db::run does.
class JobControl {
 public:
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  JobControl(Db& db, TableMap map);
  /// As JobTable::describe.
  void describe(TableMap map);

  Awaitable<std::vector<CancelRequest>> cancel_requests();
  /// Ends waiting jobs that were to be cancelled, removes requests of those that have ended.
  Awaitable<std::vector<SettledCancel>> settle_cancels(std::size_t limit);

  /// Which of these jobs may not run for a pause of their type or tenant.
  Awaitable<std::vector<std::string>> paused_among(std::vector<std::string> ids);
  /// Lays claimed jobs aside until they are released. `ids` and `tokens` go together.
  Awaitable<void> hold(std::vector<std::string> ids, std::vector<std::int64_t> tokens, std::vector<std::int64_t> drop);
  /// Looks at `limit` hints at the front of a queue; returns how many were laid aside.
  Awaitable<std::uint64_t> shelve(std::string queue, std::size_t limit);
  Awaitable<std::vector<std::string>> held_keys();
  Awaitable<std::uint64_t> release(std::string key, std::size_t limit);

  Awaitable<std::vector<JobAge>> ages(std::vector<std::string> ids);
  /// Removes results whose time is over from a range of heap pages.
  Awaitable<std::uint64_t> expire_results(std::int64_t first_page, std::int64_t pages);
  /// Removes what is left in these pages of the hints of jobs that ended while they waited for permits. Returns how many
  /// pages there are.
  Awaitable<std::int64_t> drop_ended(std::int64_t first_page, std::int64_t pages);
  /// The same of those that waited as ready in queues that nobody claims from.
  Awaitable<std::int64_t> drop_unclaimed(std::int64_t first_page, std::int64_t pages);

  /// Returns the ids that were still ours and not locked.
  Awaitable<std::vector<std::string>> write_progress(std::vector<ProgressWord> words);
  /// JSON; empty when there is none. `table`: this one's name.
  Awaitable<std::string> last_checkpoint(std::string table, std::string id);

 private:
  Db& db_;
  StatementSet statements_;
};

}  // namespace rowcrew
