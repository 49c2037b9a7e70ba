#include "cli/tail_lines.hpp"

#include <doctest/doctest.h>

#include <string>

using rowcrew::LogLevel;
using rowcrew::cli::format_tail;
using rowcrew::cli::TailFilter;

namespace {

constexpr std::string_view kLine =
    R"({"ts":"2026-01-01T00:00:00.000Z","level":"info","event":"job.retry","node":"a","job":"17","attempt":2,"msg":"receiver \"x\" answered 503"})"
    "\n";

TailFilter filter(LogLevel level, std::string node = {}, bool json = false) {
  TailFilter made;
  made.level = level;
  made.node = std::move(node);
  made.json = json;
  return made;
}

}  // namespace

TEST_CASE("a line for people begins with when, how bad, where and what") {
  CHECK(format_tail(kLine, {}) ==
        "2026-01-01T00:00:00.000Z info a job.retry job=17 attempt=2 receiver \"x\" answered 503\n");
}

TEST_CASE("with --json lines stay as they came") {
  CHECK(format_tail(kLine, filter(LogLevel::info, "", true)) == kLine);
}

TEST_CASE("other nodes and lower levels are left out") {
  CHECK(format_tail(kLine, filter(LogLevel::warning)).empty());
  CHECK(format_tail(kLine, filter(LogLevel::debug, "b")).empty());
  CHECK_FALSE(format_tail(kLine, filter(LogLevel::debug, "a")).empty());
  CHECK_FALSE(format_tail(R"({"level":"fatal","event":"x"})", filter(LogLevel::error)).empty());
}

TEST_CASE("that lines were dropped is always told") {
  CHECK(format_tail("{\"event\":\"tail.dropped\",\"lines\":12}\n", filter(LogLevel::error)) ==
        "tail.dropped lines=12\n");
}

TEST_CASE("a chunk may hold several lines, the last one without an end, and rubbish") {
  const std::string chunk =
      std::string(kLine) + "no JSON\n[1]\n\n{\"event\":\"b.c\",\"level\":\"info\"}";
  const std::string text = format_tail(chunk, {});
  CHECK(text.find("job.retry") != std::string::npos);
  CHECK(text.ends_with("\ninfo b.c\n"));
}

TEST_CASE("nothing in a line can repaint the terminal") {
  const std::string text = format_tail(
      "{\"event\":\"a.b\",\"level\":\"info\",\"k\\u001b\":\"\\u001b[31m "
      "\\n\",\"msg\":\"\\u001b]0;x\\u0007\"}",
      {});
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find('\x07') == std::string::npos);
  CHECK(text.find('\n') == text.size() - 1);
  const std::string raw = "{\"event\":\"a.b\",\"x\":\"\\u009b31m\"}\n";
  CHECK(format_tail(raw, filter(LogLevel::info, "", true)) == raw);
}
