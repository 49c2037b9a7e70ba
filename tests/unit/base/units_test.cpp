#include "base/units.hpp"

#include <doctest/doctest.h>

#include <limits>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "scratch_dir.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
using testing::sentence_of;

namespace {

std::string duration_error(std::string_view text) {
  return sentence_of<ConfigError>([&] { parse_duration(text, "lease"); });
}

template <class T>
std::string complaint(const std::variant<T, Complaint>& scanned) {
  const auto* found = std::get_if<Complaint>(&scanned);
  return found == nullptr ? "none" : std::string(*found);
}

}  // namespace

TEST_CASE("a duration is a whole number with a unit") {
  CHECK(parse_duration("250ms", "x") == 250ms);
  CHECK(parse_duration("30s", "x") == 30s);
  CHECK(parse_duration("15m", "x") == 15min);
  CHECK(parse_duration("2h", "x") == 2h);
  CHECK(parse_duration("7d", "x") == 168h);
  CHECK(parse_duration("0s", "x") == 0ms);
  CHECK(parse_duration("9223372036854775807ms", "x").count() ==
        std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("anything else is refused with a sentence about it") {
  CHECK(duration_error("90") == "lease: 90 has no unit, expected a duration such as 30s");
  CHECK(duration_error("0") == "lease: 0 has no unit, expected a duration such as 30s");
  CHECK(duration_error("") == "lease: \"\" is not a duration, expected a duration such as 30s");
  for (const char* text : {"abc", "s", "-5s", "+5s", "1.5s", "5sec", "5S", "010s", "0x1s", "1h30m",
                           "5ss", "1e3s", "5s\n", "5\u00a0s"}) {
    CAPTURE(text);
    CHECK(duration_error(text).ends_with("is not a duration, expected a duration such as 30s"));
  }
  CHECK(duration_error("5 s") ==
        "lease: \"5 s\" is not a duration, expected a duration such as 30s");
  CHECK(duration_error("106751991168d") ==
        "lease: 106751991168d is out of range, expected a duration such as 30s");
  CHECK(duration_error("99999999999999999999s") ==
        "lease: 99999999999999999999s is out of range, expected a duration such as 30s");
  CHECK(duration_error("9223372036854775808ms") ==
        "lease: 9223372036854775808ms is out of range, expected a duration such as 30s");
}

TEST_CASE("a duration is written in its largest exact unit") {
  CHECK(format_duration(90'000ms) == "90s");
  CHECK(format_duration(60s) == "1m");
  CHECK(format_duration(1500ms) == "1500ms");
  CHECK(format_duration(48h) == "2d");
  CHECK(format_duration(25h) == "25h");
  CHECK(format_duration(0ms) == "0s");
  CHECK(format_duration(-90s) == "-90s");
  CHECK(format_duration(std::chrono::milliseconds::min()) == "-9223372036854775808ms");
  for (const auto span : {1ms, 999ms, 1000ms, 61'000ms, 3'600'000ms, 86'400'000ms}) {
    CHECK(parse_duration(format_duration(span), "x") == span);
  }
}

TEST_CASE("a size is bytes or a binary unit") {
  CHECK(std::get<0>(scan_bytes("0")) == 0);
  CHECK(std::get<0>(scan_bytes("1000")) == 1000);
  CHECK(std::get<0>(scan_bytes("64KiB")) == 65536);
  CHECK(std::get<0>(scan_bytes("10MiB")) == 10485760);
  CHECK(std::get<0>(scan_bytes("1GiB")) == 1073741824);
  for (const char* text : {"", "KiB", "10MB", "10M", "10 MiB", "1.5GiB", "-1", "010", "1kib"}) {
    CAPTURE(text);
    CHECK(complaint(scan_bytes(text)) == "is not a size");
  }
  CHECK(complaint(scan_bytes("18446744073709551616")) == "is out of range");
  CHECK(complaint(scan_bytes("17179869184GiB")) == "is out of range");
  CHECK(std::get<0>(scan_bytes("17179869183GiB")) == 17179869183ULL << 30);
  CHECK(format_bytes(10485760) == "10MiB");
  CHECK(format_bytes(1025) == "1025");
  CHECK(format_bytes(0) == "0");
}

TEST_CASE("a whole number is decimal and nothing but") {
  CHECK(std::get<0>(scan_integer("0")) == 0);
  CHECK(std::get<0>(scan_integer("-12")) == -12);
  CHECK(std::get<0>(scan_integer("9223372036854775807")) == 9223372036854775807LL);
  CHECK(std::get<0>(scan_integer("-9223372036854775808")) ==
        std::numeric_limits<std::int64_t>::min());
  for (const char* text : {"", "-", "+1", "010", "-01", "-0", "0x1F", "0o10", "1_000", "1e3", "1.0",
                           " 1", "1 ", "one"}) {
    CAPTURE(text);
    CHECK(complaint(scan_integer(text)) == "is not a whole number");
  }
  CHECK(complaint(scan_integer("9223372036854775808")) == "is out of range");
  CHECK(complaint(scan_integer("-9223372036854775809")) == "is out of range");
}

TEST_CASE("a flag is true or false, in these very letters") {
  CHECK(scan_flag("true") == std::optional(true));
  CHECK(scan_flag("false") == std::optional(false));
  for (const char* text : {"", "yes", "no", "on", "off", "True", "FALSE", "1", "0", "y"}) {
    CAPTURE(text);
    CHECK(scan_flag(text) == std::nullopt);
  }
}

TEST_CASE("a value is shown bare when it is one word, quoted and cut otherwise") {
  CHECK(shown("abc") == "abc");
  CHECK(shown("a b") == "\"a b\"");
  CHECK(shown("") == "\"\"");
  CHECK(shown("a\nb\"") == "\"a\\nb\\\"\"");
  CHECK(shown(std::string(100, 'x')) == "\"" + std::string(60, 'x') + "…\"");
  CHECK(shown("ääää", 5) == "\"ää…\"");
}
