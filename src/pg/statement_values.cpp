#include "pg/statement_values.hpp"

#include <fmt/format.h>

#include <cstddef>

#include "pg/server_error.hpp"

namespace rowcrew {

std::vector<const char*> statement_values(const Statement& statement, const Params& params) {
  constexpr std::size_t kMost = 65535;
  if (params.values().size() > kMost) {  // libpq refuses them as if the connection were lost
    throw BugError("db_statement", fmt::format("{}: {} parameters, expected at most {}", statement.name, params.values().size(), kMost));
  }
  std::vector<const char*> out;
  out.reserve(params.values().size());
  for (const auto& value : params.values()) {
    // libpq would silently cut the text here; the server would refuse it.
    if (value && value->find('\0') != std::string::npos) {
      throw server_error("22021", fmt::format("{}: parameter ${} holds a NUL byte (22021)", statement.name, out.size() + 1));
    }
    out.push_back(value ? value->c_str() : nullptr);
  }
  return out;
}

}  // namespace rowcrew
