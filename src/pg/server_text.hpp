// Texts on their way from and to the server. Pure.
#pragma once

#include <string>
#include <string_view>

namespace rowcrew {

/// A message of libpq as one line without severity, at most 400 bytes: several lines are joined.
std::string one_line(std::string_view message);

/// What a server that refuses a connection says (libpq's PQERRORS_VERBOSE), as one line.
struct ServerRefusal {
  std::string text;          ///< without the code, and without the place in the server's source
  bool turned_away = false;  ///< somebody is there and stays there; not so a server that is starting or ending
  bool crowded = false;      ///< it has no connection left for us (53300)
};
ServerRefusal read_refusal(std::string_view message);

/// The name of a prepared statement on the server, which looks at the first 63 bytes only: longer
/// names are cut and end in a hash of the whole.
std::string prepared_name(std::string_view statement);

}  // namespace rowcrew
