#include "ingest/json_scan.hpp"

#include <doctest/doctest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include <rowcrew/error.hpp>

using rowcrew::decode_json_string;
using rowcrew::JsonKind;
using rowcrew::JsonLimits;
using rowcrew::scan_json_object;

namespace {

std::string complaint(std::string_view text, JsonLimits limits = {}) {
  try {
    scan_json_object(text, limits);
    return {};
  } catch (const rowcrew::PermanentError& e) {
    CHECK(e.code() == "bad_json");
    return e.what();
  }
}

bool accepted(std::string_view text) {
  return complaint(text).empty();
}

std::string nested(unsigned levels) {
  return "{\"a\":" + std::string(levels - 1, '[') + std::string(levels - 1, ']') + "}";
}

}  // namespace

TEST_CASE("members keep their text, byte for byte, blanks around them apart") {
  const auto members = scan_json_object(
      " {\"a\" : {\"n\": 1.10, \"n\":2} ,\t\"b\":18446744073709551616\n,\"c\":1e400} ");
  REQUIRE(members.size() == 3);
  CHECK(members[0].name == "a");
  CHECK(members[0].value == "{\"n\": 1.10, \"n\":2}");
  CHECK(members[1].value == "18446744073709551616");
  CHECK(members[2].value == "1e400");
}

TEST_CASE("names come decoded, so that an escape cannot hide a field") {
  const auto members = scan_json_object("{\"job\\u005ftype\":\"a\\n\\ud83d\\ude00\"}");
  REQUIRE(members.size() == 1);
  CHECK(members[0].name == "job_type");
  CHECK(decode_json_string(members[0].value) == "a\n\xf0\x9f\x98\x80");
}

TEST_CASE("what is no JSON object is refused with its place") {
  CHECK(complaint("") == "byte 0: found the end, expected an object");
  CHECK(complaint("[1]") == "byte 0: found '[', expected an object");
  CHECK(complaint("{\"a\":1,}") == "byte 7: found '}', expected a name in quotes");
  CHECK(complaint("{\"a\":01}") == "byte 6: found '1', expected a comma or }");
  CHECK(complaint("{\"a\":1} x") == "byte 8: found 'x', expected the end of the text");
  CHECK(complaint("{\"a\" 1}") == "byte 5: found '1', expected a colon");
  CHECK(complaint("{'a':1}") == "byte 1: found ''', expected a name in quotes");
  CHECK(complaint("{\"a\":nul}") == "byte 5: found 'n', expected a value");
  CHECK(complaint("{\"a\":-}") == "byte 6: found '}', expected a digit");
  CHECK(complaint("{\"a\":1.}") == "byte 7: found '}', expected a digit");
  CHECK(complaint("{\"a\":1e+}") == "byte 8: found '}', expected a digit");
  CHECK(complaint("{\"a\":\"x") == "byte 7: found the end, expected a closing quote");
  CHECK(complaint("{\"a\":\"\n\"}") == "byte 6: found byte 0x0a, expected a closing quote");
  CHECK(complaint("\xef\xbb\xbf{}") == "byte 0: found byte 0xef, expected an object");
  CHECK(complaint(std::string_view("{\"a\":1}\0", 8)) ==
        "byte 7: found byte 0x00, expected the end of the text");
}

TEST_CASE("what jsonb could not hold is refused although it is JSON") {
  CHECK(complaint("{\"a\":\"\\u0000\"}").find("\\u0000") != std::string::npos);
  CHECK(complaint("{\"\\u0000\":1}").find("\\u0000") != std::string::npos);
  CHECK(complaint("{\"a\":\"\\ud800\"}").find("surrogate") != std::string::npos);
  CHECK(complaint("{\"a\":\"\\ud800\\u0041\"}").find("surrogate") != std::string::npos);
  CHECK(complaint("{\"a\":\"\\udc00\"}").find("surrogate") != std::string::npos);
}

TEST_CASE("only well-formed UTF-8 passes") {
  CHECK(accepted("{\"a\":\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf\"}"));
  for (const char* const broken :
       {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    CAPTURE(broken);
    CHECK(complaint("{\"a\":\"" + std::string(broken) + "\"}").find("expected UTF-8") !=
          std::string::npos);
  }
}

TEST_CASE("nesting is bounded, and exactly at its limit") {
  CHECK(accepted(nested(64)));
  CHECK(complaint(nested(65)).find("nested more than 64 deep") != std::string::npos);
  CHECK(complaint("{\"a\":" + std::string(200'000, '[')).find("nested") != std::string::npos);
}

TEST_CASE("exponents are bounded in sum, so that few bytes never become many digits") {
  CHECK(accepted("{\"a\":1e65536}"));
  CHECK_FALSE(accepted("{\"a\":1e65537}"));
  CHECK_FALSE(accepted("{\"a\":[1e40000,1e-40000]}"));
  CHECK_FALSE(accepted("{\"a\":1e99999999999999999999999999}"));
  CHECK(accepted("{\"a\":1E+0400,\"b\":-2.5e-3}"));
}

TEST_CASE("kinds are told by the first character") {
  const auto kind = [](std::string_view value) { return rowcrew::json_kind(value); };
  CHECK(kind("{}") == JsonKind::object);
  CHECK(kind("[]") == JsonKind::array);
  CHECK(kind("\"\"") == JsonKind::string);
  CHECK(kind("-1") == JsonKind::number);
  CHECK(kind("true") == JsonKind::boolean);
  CHECK(kind("false") == JsonKind::boolean);
  CHECK(kind("null") == JsonKind::null);
}

// Without exponents and \u0000 both must say the same of any text.
TEST_CASE("agrees with a full parser about random texts") {
  constexpr std::array kPieces = {"{",   "}",       "[",       "]",       ":",        ",",
                                  "\"",  "\"a\"",   "\"b\"",   "1",       "0",        "-",
                                  ".5",  "true",    "null",    "false",   " ",        "\\",
                                  "\\n", "\\u00e4", "\\ud83d", "\\ude00", "\xc3\xa4", "\xc3",
                                  "\n",  "x",       "{\"a\":", "[1,",     "\t"};
  std::mt19937 random(20260101);
  int valid = 0;
  for (int round = 0; round < 40'000; ++round) {
    std::string text = "{\"k\":";
    const auto pieces = random() % 7 + 1;
    for (std::size_t i = 0; i < pieces; ++i) text += kPieces[random() % kPieces.size()];
    text += "}";
    const auto parsed = nlohmann::json::parse(text, nullptr, false);
    const bool expected = parsed.is_object();
    if (expected) ++valid;
    if (accepted(text) != expected) FAIL_CHECK(text << " expected " << expected);
  }
  CHECK(valid > 500);
}
