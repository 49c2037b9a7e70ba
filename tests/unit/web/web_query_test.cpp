#include "web/web_query.hpp"

#include <doctest/doctest.h>

#include "web/web_refusal.hpp"

using rowcrew::web::parse_query;
using rowcrew::web::WebRefusal;

using Found = std::map<std::string, std::string, std::less<>>;

TEST_CASE("web query: values come as a browser's form has written them") {
  CHECK(parse_query("type=mail+out%26&tenant=%C3%A9&queue=a%2Bb") == Found{{"type", "mail out&"}, {"tenant", "é"}, {"queue", "a+b"}});
}

TEST_CASE("web query: the last one of a name counts, what is empty does not") {
  CHECK(parse_query("status=failed&status=completed&queue=&limit=5&&tenant") == Found{{"status", "completed"}, {"limit", "5"}});
  CHECK(parse_query("").empty());
}

TEST_CASE("web query: an equals sign in a value is a part of it") {
  CHECK(parse_query("job=table:a=b") == Found{{"job", "table:a=b"}});
}

TEST_CASE("web query: escapes that are none, and NUL, are refused") {
  for (const char* text : {"a=%", "a=%4", "a=%zz", "a=%00", "a=x%2"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_query(text), WebRefusal);
  }
}
