// The page itself, which is part of the program. Pure.
#pragma once

#include <string_view>

#include "net/http_server.hpp"

namespace rowcrew::web {

/// "/" is index.html, any other path a file of src/web/page. They hold nothing of the database, so nobody has to say who he is. With
/// headers that let nothing run, load or frame but the page's own. Throws WebRefusal 404.
ServerResponse page_file(std::string_view path);

}  // namespace rowcrew::web
