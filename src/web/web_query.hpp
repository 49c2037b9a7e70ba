// The query of a URL. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace rowcrew::web {

/// "a=1&b=x+y%26" -> {a: "1", b: "x y&"} (application/x-www-form-urlencoded, WHATWG URL 5.1). Of a name that stands twice the
/// last value counts; empty values are dropped. Throws WebRefusal 400 for a NUL and for an escape that is none.
std::map<std::string, std::string, std::less<>> parse_query(std::string_view query);

}  // namespace rowcrew::web
