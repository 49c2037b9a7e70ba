#include "runtime/installation.hpp"

#include <fmt/format.h>

#include "sql_queries.hpp"

namespace rowcrew {

boost::asio::awaitable<Installation> read_installation(Db& db) {
  Installation found;
  const Rows present = co_await db.query(sql::node_schema_present, Params{});
  if (!present.boolean(0, 0)) co_return found;
  const Rows rows = co_await db.query(sql::node_installation, Params{});
  found.schema_present = true;
  found.row_present = !rows.empty();
  if (rows.empty()) co_return found;
  found.id = rows.text(0, 0);
  found.schema_version = static_cast<int>(rows.integer(0, 1));
  found.min_binary = static_cast<int>(rows.integer(0, 2));
  found.home = rows.is_null(0, 3) || rows.boolean(0, 3);
  co_return found;
}

std::optional<std::string> refusal(const Installation& found, int built_for) {
  if (!found.schema_present) return "schema rowcrew: not found in this database: run \"rowcrew migrate\"";
  if (!found.row_present) return "rowcrew.meta: empty, expected its one row: run \"rowcrew takeover\"";
  if (found.schema_version < built_for) {
    return fmt::format("schema rowcrew: at version {}, this program needs {}: run \"rowcrew migrate\"", found.schema_version, built_for);
  }
  if (found.min_binary > built_for) {
    return fmt::format("schema rowcrew: needs programs built for version {} or newer, this one knows {}: install the newer package", found.min_binary, built_for);
  }
  if (!found.home) {
    return fmt::format("installation {}: belongs to another server or database, this looks like a restored copy: run \"rowcrew takeover\" to let the fleet work here", found.id);
  }
  return std::nullopt;
}

}  // namespace rowcrew
