#include "runtime/table_door.hpp"

#include <array>

#include "queue/job_table.hpp"
#include "queue/refusal_search.hpp"

namespace rowcrew {

bool tells_of_changed_table(const DbError& error) {
  // A port is the application's own code: what is wrong with it is told of its job, not of the table.
  if (dynamic_cast<const PortError*>(&error) != nullptr) return false;
  static constexpr std::array<std::string_view, 8> kChanged = {
      "42703",  // column
      "42P01",  // table
      "42704",  // type
      "42501",  // right
      "42804", "42883", "42846",  // another type than it was
      "3F000",  // schema
  };
  for (const std::string_view state : kChanged) {
    if (error.sqlstate() == state) return true;
  }
  // A word that its enum has no more stands in the statement itself, at a place that libpq names whatever language the
  // server speaks. Other values that are malformed belong to one job.
  return error.sqlstate() == "22P02" && std::string_view(error.what()).find(" at character ") != std::string_view::npos;
}

bool tells_of_a_row(const Error& error) {
  const auto* db = dynamic_cast<const DbError*>(&error);
  return db != nullptr && tells_of_one_job(*db) && !tells_of_changed_table(*db);
}

void TableDoor::refused(const DbError& error) {
  if (watched_ && tells_of_changed_table(error)) fault_ = error.what();
}

boost::asio::awaitable<void> TableDoor::submit(TxMode mode, std::function<void(Tx&)> work) {
  if (!watched_) {
    co_await inner_.run(mode, std::move(work));
    co_return;
  }
  try {
    co_await inner_.run(mode, std::move(work));
  } catch (const DbError& error) {
    refused(error);
    throw;
  }
}

}  // namespace rowcrew
