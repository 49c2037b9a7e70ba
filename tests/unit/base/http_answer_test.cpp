#include <rowcrew/http_answer.hpp>

#include <doctest/doctest.h>

#include <iterator>

namespace rowcrew {
namespace {

TEST_CASE("http answer: the first header of a name, in whatever case") {
  const HttpHeaders headers = {{"X-Request-ID", "a"}, {"x-request-id", "b"}, {"Empty", ""}};
  CHECK(header_of(headers, "x-request-id") == "a");
  CHECK(header_of(headers, "X-REQUEST-ID") == "a");
  CHECK(header_of(headers, "x-request").empty());
  CHECK(header_of(headers, "empty").empty());
  CHECK(header_of({}, "a").empty());
}

TEST_CASE("http answer: what was never sent may be repeated, what may have been processed is told apart") {
  for (const char* code : {"http_dns", "http_connect", "http_tls", "http_file", "http_bad_url", "http_bad_header", "egress_refused"}) {
    CAPTURE(code);
    CHECK(is_unsent(TransientError(code, "")));
  }
  CHECK(is_unsent(BugError("http_option", "")));
  for (const char* code : {"http_timeout", "http_transfer", "http_body_too_large", "http_disk"}) {
    CAPTURE(code);
    CHECK_FALSE(is_unsent(TransientError(code, "")));
  }
}

}  // namespace
}  // namespace rowcrew
