// Kind `sql`: calls a function of the configured allow-list, in the transaction that ends the job.
#pragma once

#include <map>
#include <memory>
#include <string>

#include <rowcrew/db.hpp>
#include <rowcrew/db_error.hpp>
#include <rowcrew/handler.hpp>

#include "sql_entry.hpp"
#include "sql_gather.hpp"

namespace rowcrew {
class Registry;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::sql_kind {

/// The verdict on what the database refused: pure. Failed for data exceptions, violated constraints and
/// RAISE (22, 23, P0001 to P0003); Retry for everything else. Codes: "timeout" for 57014, else DbError's.
Outcome judge(const Entry& entry, const DbError& error);

class SqlHandler final : public Handler {
 public:
  /// Reads kinds.sql. Throws ConfigError.
  explicit SqlHandler(const Deps& deps);

  /// Throws ConfigError for an entry without a function that it can call.
  boost::asio::awaitable<void> prepare() override;
  /// Throws PermanentError ("bad_payload", "unknown_entry") and what is no fault of the function.
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  Db& db_;
  AllowList allow_;
  std::map<std::string, std::unique_ptr<Gather>, std::less<>> gathers_;
};

}  // namespace rowcrew::sql_kind

namespace rowcrew {

void register_sql(Registry& registry, Deps& deps);

}  // namespace rowcrew
