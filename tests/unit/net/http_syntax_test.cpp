#include "net/http_syntax.hpp"

#include <doctest/doctest.h>

using namespace rowcrew;

TEST_CASE("http syntax: header names are tokens") {
  for (const char* name : {"Accept", "X-Trace_1", "a", "!#$%&'*+-.^_`|~9"}) {
    CAPTURE(name);
    CHECK(is_header_name(name));
  }
  for (const char* name : {"", "a b", "a:b", "a\r", "a\n", "(a)", "a\"", "\x80"}) {
    CAPTURE(name);
    CHECK_FALSE(is_header_name(name));
  }
}

TEST_CASE("http syntax: header values hold no control byte but the tab") {
  for (const char* value : {"", "a b", "a\tb", "na\xc3\xafve", "q=\"1\", b"}) {
    CAPTURE(value);
    CHECK(is_header_value(value));
  }
  for (const std::string_view value :
       {std::string_view("a\r\nb"), std::string_view("a\nb"), std::string_view("a\0b", 3),
        std::string_view("a\x7f"), std::string_view("\x1b[0m")}) {
    CHECK_FALSE(is_header_value(value));
  }
}

TEST_CASE("http syntax: names are compared without case, whole") {
  CHECK(equals_ignoring_case("Content-Type", "content-TYPE"));
  CHECK_FALSE(equals_ignoring_case("Content-Type", "Content-Typ"));
  CHECK_FALSE(equals_ignoring_case("[", "{"));
}

TEST_CASE("http syntax: blanks are trimmed at both ends only") {
  CHECK(trim_blanks(" \ta b\t ") == "a b");
  CHECK(trim_blanks(" \t ").empty());
  CHECK(trim_blanks("").empty());
}

TEST_CASE("http syntax: a target is split at the first question mark and its path decoded") {
  struct Case {
    const char* text;
    const char* path;
    const char* query;
  };
  for (const auto& c :
       {Case{"/", "/", ""}, Case{"/a/b?c=d&e=%20?", "/a/b", "c=d&e=%20?"},
        Case{"/a%2Fb%20c+d", "/a/b c+d", ""}, Case{"/%c3%AF", "/\xc3\xaf", ""},
        Case{"/a?", "/a", ""}, Case{"*", "*", ""}, Case{"http://host:1/a?b", "/a", "b"},
        Case{"HTTP://host", "/", ""}, Case{"https://host?b", "/", "b"}, Case{"//a", "//a", ""}}) {
    CAPTURE(c.text);
    const auto target = parse_request_target(c.text);
    REQUIRE(target);
    CHECK(target->path == c.path);
    CHECK(target->query == c.query);
  }
}

TEST_CASE("http syntax: a target that is no path is refused") {
  for (const char* text : {"", "a", "?a", "host:443", "ftp://host/a", "/%", "/%4", "/%4g", "/%g4",
                           "/%00", "/a#b", "%2Fa", "/a%00b"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_request_target(text));
  }
}
