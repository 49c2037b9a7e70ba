#include "web/page_files.hpp"

#include "web/web_refusal.hpp"
#include "web_page.hpp"

namespace rowcrew::web {
namespace {

constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

}  // namespace

ServerResponse page_file(std::string_view path) {
  for (const page::File& file : page::kFiles) {
    const bool is_asked = path == "/" ? file.name == "index.html" : path.starts_with('/') && path.substr(1) == file.name;
    if (!is_asked) continue;
    ServerResponse response(200, std::string(file.type), std::string(file.bytes));
    response.headers = {{"Content-Security-Policy", kPolicy}, {"X-Content-Type-Options", "nosniff"},
                        {"Referrer-Policy", "no-referrer"},   {"Cross-Origin-Opener-Policy", "same-origin"}, {"Cross-Origin-Resource-Policy", "same-origin"},
                        {"Cache-Control", "no-cache"}};
    return response;
  }
  throw WebRefusal(404, "not_found", "no such path");
}

}  // namespace rowcrew::web
