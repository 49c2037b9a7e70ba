// Whether this program may work on this database: the meta row.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include <rowcrew/db.hpp>

namespace rowcrew {

struct Installation {
  bool schema_present = false;
  bool row_present = true;  ///< false: somebody has emptied the table
  std::string id;
  int schema_version = 0;
  int min_binary = 0;
  bool home = true;
};

boost::asio::awaitable<Installation> read_installation(Db& db);

/// Nullopt when a program built for schema `built_for` may work; else one sentence that says which
/// command to run. Pure.
std::optional<std::string> refusal(const Installation& found, int built_for);

}  // namespace rowcrew
