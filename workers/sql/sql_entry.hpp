// The allow-list of the kind `sql`: the only functions that a payload can cause to be called.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>

#include <rowcrew/job_transactions.hpp>
#include <rowcrew/settings.hpp>

namespace rowcrew::sql_kind {

struct Entry {
  std::string name;
  std::string setting;                  ///< full name of its section, for messages
  SqlFunction function;                 ///< schema and name; the rest is known once choose() has seen it
  std::size_t batch = 1;                ///< jobs in one transaction, 1 to 64
  std::chrono::milliseconds timeout{};  ///< of one transaction; what the lease leaves is less, as a rule
};

using AllowList = std::map<std::string, Entry, std::less<>>;

/// Reads kinds.sql.allow. Throws ConfigError.
AllowList read_allow_list(const Settings& sql);

/// A function as the database has it.
struct FoundFunction {
  std::string schema;
  std::string name;
  std::string arguments;  ///< "uuid, jsonb"
  std::string result;     ///< "void"
  bool plain = true;      ///< a function, neither procedure nor aggregate, that returns no set
  bool allowed = true;    ///< the node's role may call it
};

/// Which of `found` the entry means: (uuid, jsonb) or (jsonb), returning void or jsonb; the former when
/// there are both. Throws ConfigError that names entry, function, found and expected. `role`: the node's.
SqlFunction choose(const Entry& entry, std::span<const FoundFunction> found, const std::string& role);

}  // namespace rowcrew::sql_kind
