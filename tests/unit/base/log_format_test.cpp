#include "base/log_format.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/escape.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;

namespace {

constexpr std::chrono::sys_days kDay{std::chrono::year{2026} / 3 / 2};
const auto kNow = std::chrono::system_clock::time_point(kDay + 9h + 14min + 7s + 512ms);

LogRecord record(std::span<const LogField> fields, std::string_view message = {}) {
  return {kNow, LogLevel::info, "job.retry", {}, fields, message};
}

std::string logfmt(const std::string& value) {
  const std::vector<LogField> fields{{"k", value}};
  const std::string line = format_logfmt(record(fields));
  return line.substr(line.find("k="));
}

nlohmann::json json(std::span<const LogField> fields, std::string_view message = {}) {
  return nlohmann::json::parse(format_json(record(fields, message)));
}

std::string escaped(std::string_view text) {
  std::string out;
  append_escaped(out, text);
  return out;
}

bool contains(const std::vector<std::string>& entries, const std::string& entry) {
  return std::find(entries.begin(), entries.end(), entry) != entries.end();
}

}  // namespace

TEST_CASE("logfmt: time, level, event, node, fields in order, message last") {
  const std::vector<LogField> fields{{"job", "48213"}, {"attempt", 2}};
  const LogRecord full{kNow, LogLevel::warning, "job.retry", "gen-2", fields, "answered 503"};
  CHECK(format_logfmt(full) ==
        "ts=2026-03-02T09:14:07.512Z level=warning event=job.retry node=gen-2 job=48213 attempt=2 "
        "msg=\"answered 503\"");
  CHECK(format_logfmt(record({})) == "ts=2026-03-02T09:14:07.512Z level=info event=job.retry");
}

TEST_CASE("time before a whole second and before 1970 keeps its milliseconds") {
  LogRecord early = record({});
  early.at = std::chrono::system_clock::time_point(-1ms);
  CHECK(format_logfmt(early).starts_with("ts=1969-12-31T23:59:59.999Z "));
  early.at = std::chrono::system_clock::time_point(5us);
  CHECK(format_logfmt(early).starts_with("ts=1970-01-01T00:00:00.000Z "));
}

TEST_CASE("logfmt: a value is quoted when it is not one plain word") {
  CHECK(logfmt("plain-word_1.5:/é") == "k=plain-word_1.5:/é");
  CHECK(logfmt("") == "k=\"\"");
  CHECK(logfmt("a b") == "k=\"a b\"");
  CHECK(logfmt("a=b") == "k=\"a=b\"");
  CHECK(logfmt("say \"no\"") == "k=\"say \\\"no\\\"\"");
  CHECK(logfmt("c:\\x") == "k=\"c:\\\\x\"");
  CHECK(logfmt("a\nlevel=error") == "k=\"a\\nlevel=error\"");
  CHECK(logfmt("\t\r") == "k=\"\\t\\r\"");
  CHECK(logfmt(std::string("\0\x1b\x7f", 3)) == "k=\"\\u0000\\u001b\\u007f\"");
  CHECK(logfmt("a\xff") == "k=\"a\uFFFD\"");
}

TEST_CASE("escaping lets nothing through that breaks or repaints a line") {
  CHECK(escaped("\u0085\u2028\u2029") == "\\u0085\\u2028\\u2029");
  CHECK(escaped("\u00a0äß€😀") == "\u00a0äß€😀");
  for (unsigned c = 0; c < 0x20; ++c) {
    const std::string out = escaped(std::string(1, static_cast<char>(c)));
    CAPTURE(c);
    CHECK(out.front() == '\\');
    CHECK(nlohmann::json::parse("\"" + out + "\"").get<std::string>() ==
          std::string(1, static_cast<char>(c)));
  }
}

TEST_CASE("invalid UTF-8 becomes one replacement per byte") {
  const std::string r = "\uFFFD";
  CHECK(escaped("\x80") == r);
  CHECK(escaped("\xc3") == r);
  CHECK(escaped("\xc3(") == r + "(");
  CHECK(escaped("\xc0\xaf") == r + r);
  CHECK(escaped("\xe2\x82") == r + r);
  CHECK(escaped("\xe0\x80\x80") == r + r + r);
  CHECK(escaped("\xed\xa0\x80") == r + r + r);
  CHECK(escaped("\xf4\x90\x80\x80") == r + r + r + r);
  CHECK(escaped("\xf5\x80\x80\x80") == r + r + r + r);
  CHECK(escaped("\xf0\x9f\x98\x80") == "😀");
}

TEST_CASE("JSON: one object that every parser reads, numbers bare, the rest quoted") {
  const std::vector<LogField> fields{{"job", "48213"}, {"took_ms", 1204}, {"ok", true}, {"n", -5}};
  CHECK(format_json(record(fields, "it \"works\"\n")) ==
        "{\"ts\":\"2026-03-02T09:14:07.512Z\",\"level\":\"info\",\"event\":\"job.retry\","
        "\"job\":\"48213\",\"took_ms\":1204,\"ok\":1,\"n\":-5,\"msg\":\"it \\\"works\\\"\\n\"}");
  CHECK(json({})["event"] == "job.retry");

  std::string every_byte;
  for (int c = 0; c < 256; ++c) every_byte += static_cast<char>(c);
  const std::vector<LogField> bytes{{"k", every_byte}};
  const std::string line = format_json(record(bytes, every_byte));
  CHECK(line.find('\n') == std::string::npos);
  CHECK(nlohmann::json::accept(line));
}

TEST_CASE("JSON: a field that only claims to be a number is quoted") {
  for (const char* text : {"1e5", "", "-", "007", "1,\"x\":2", "NaN"}) {
    std::vector<LogField> fields{{"n", text}};
    fields[0].number = true;
    CAPTURE(text);
    CHECK(json(fields)["n"] == text);
  }
}

TEST_CASE("a key is written once, the later field counts, and never poses as one of ours") {
  const std::vector<LogField> fields{
      {"job", "1"}, {"level", "7"}, {"job", "2"}, {"Bad Key", "x"}, {"", "y"}};
  CHECK(format_logfmt(record(fields)) ==
        "ts=2026-03-02T09:14:07.512Z level=info event=job.retry level_=7 job=2 bad_key=x _=y");
  CHECK(json(fields)["level"] == "info");
  CHECK(json(fields)["job"] == "2");
}

TEST_CASE("a huge value is cut at a character") {
  const std::string line = logfmt(std::string(4095, 'x') + "äöü");
  CHECK(line == "k=\"" + std::string(4095, 'x') + "…\"");
  CHECK(logfmt(std::string(4096, 'x')) == "k=" + std::string(4096, 'x'));
}

TEST_CASE("the journal gets native fields and a readable message") {
  const std::vector<LogField> fields{
      {"job", "48213"}, {"attempt", 2},           {"priority", "7"},   {"message", "m"},
      {"_hidden", "x"}, {"syslog_facility", "0"}, {"error", "a\nb=c"}, {"1st", "y"}};
  const LogRecord full{kNow, LogLevel::error, "job.failed", "gen-2", fields, "gave up"};
  const auto entries = format_journal(full);
  CHECK(entries.front() ==
        "MESSAGE=event=job.failed job=48213 attempt=2 priority=7 message=m _hidden=x "
        "syslog_facility=0 error=\"a\\nb=c\" 1st=y msg=\"gave up\"");
  for (const char* entry :
       {"PRIORITY=3", "EVENT=job.failed", "NODE=gen-2", "MSG=gave up", "JOB_ID=48213", "ATTEMPT=2",
        "ROWCREW_PRIORITY=7", "ROWCREW_MESSAGE=m", "ROWCREW__HIDDEN=x", "ROWCREW_SYSLOG_FACILITY=0",
        "ERROR=a\nb=c", "ROWCREW_1ST=y"}) {
    CAPTURE(entry);
    CHECK(contains(entries, entry));
  }
  CHECK(entries.size() == 13);
}

TEST_CASE("the journal's priorities follow syslog") {
  for (const auto& [level, priority] :
       {std::pair{LogLevel::debug, "7"}, std::pair{LogLevel::info, "6"},
        std::pair{LogLevel::warning, "4"}, std::pair{LogLevel::error, "3"}}) {
    LogRecord line = record({});
    line.level = level;
    CHECK(contains(format_journal(line), std::string("PRIORITY=") + priority));
  }
}
