#include <rowcrew/retry_after.hpp>

#include <doctest/doctest.h>

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

// 784111777 is the example of the specification.
constexpr std::chrono::sys_seconds kThen{784111777s};
constexpr const char* kThenText = "Sun, 06 Nov 1994 08:49:37 GMT";

std::optional<std::chrono::milliseconds> asked(const std::string& value) {
  return retry_after({{"Retry-After", value}}, kThen);
}

TEST_CASE("retry after: seconds are taken as they are, up to an hour") {
  CHECK(asked("1") == 1s);
  CHECK(asked(" 90 ") == 90s);
  CHECK(asked("3600") == 1h);
  CHECK(asked("3601") == 1h);
  CHECK(asked("99999999999999999999999") == 1h);
}

TEST_CASE("retry after: the caller may set another limit") {
  CHECK(retry_after({{"Retry-After", "90000"}}, kThen, 24h) == 24h);
  CHECK(retry_after({{"Retry-After", "80000"}}, kThen, 24h) == 80000s);
  CHECK(retry_after({{"Retry-After", "99999999999999999999"}}, kThen, 24h) == 24h);
  CHECK(retry_after({{"Retry-After", "Mon, 06 Nov 2034 08:49:37 GMT"}}, kThen, 24h) == 24h);
}

TEST_CASE("retry after: what asks for nothing leaves it to the retry policy") {
  CHECK_FALSE(retry_after({}, kThen));
  for (const std::string value : {"", "0", "-5", "1.5", "soon", "5 minutes"}) {
    CAPTURE(value);
    CHECK_FALSE(asked(value));
  }
}

TEST_CASE("retry after: a date counts from the answer's own Date") {
  const HttpHeaders headers = {{"DATE", kThenText},
                               {"retry-AFTER", "Sun, 06 Nov 1994 08:50:37 GMT"}};
  CHECK(retry_after(headers, kThen + 500h) == 60s);
}

TEST_CASE("retry after: a date without Date counts from our clock") {
  CHECK(asked("Sun, 06 Nov 1994 08:50:07 GMT") == 30s);
  CHECK(asked("Mon, 07 Nov 1994 08:50:07 GMT") == 1h);
  CHECK_FALSE(asked(kThenText));
  CHECK_FALSE(asked("Sat, 05 Nov 1994 08:49:37 GMT"));
}

TEST_CASE("http date: only the one valid form is read") {
  CHECK(parse_http_date(kThenText) == kThen);
  CHECK(parse_http_date("Thu, 29 Feb 2024 00:00:00 GMT").has_value());
  for (const std::string text : {"", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
                                 "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 31 Feb 2024 00:00:00 GMT",
                                 "Sun, 06 ovD 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
                                 "Sun, +6 Nov 1994 08:49:37 GMT"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_http_date(text).has_value());
  }
}

}  // namespace
}  // namespace rowcrew
