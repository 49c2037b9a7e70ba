#include "base/log_setup.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include <rowcrew/error.hpp>

#include "scratch_dir.hpp"
#include "support/log_capture.hpp"

using namespace rowcrew;
using testing::LogCapture;
using testing::ScopedEnv;
using testing::sentence_of;

namespace {

/// Stdout into a pipe for the life of this object.
class StdoutPipe {
 public:
  StdoutPipe() {
    std::fflush(stdout);
    REQUIRE(::pipe(ends_) == 0);
    saved_ = ::dup(STDOUT_FILENO);
    ::dup2(ends_[1], STDOUT_FILENO);
    ::close(ends_[1]);
  }
  ~StdoutPipe() {
    restore();
    ::close(ends_[0]);
  }
  /// What reached the descriptor so far; nothing is flushed here.
  std::string written() {
    restore();
    std::string out;
    char piece[4096];
    for (ssize_t got; (got = ::read(ends_[0], piece, sizeof piece)) > 0;) {
      out.append(piece, static_cast<std::size_t>(got));
    }
    return out;
  }

 private:
  void restore() {
    if (saved_ < 0) return;
    ::dup2(saved_, STDOUT_FILENO);
    ::close(saved_);
    saved_ = -1;
  }
  int ends_[2] = {-1, -1};
  int saved_ = -1;
};

LogOptions options(LogFormat format, LogLevel level = LogLevel::info) {
  LogOptions chosen;
  chosen.format = format;
  chosen.level = level;
  chosen.node = "n1";
  return chosen;
}

}  // namespace

TEST_CASE("a line reaches stdout, braces and quotes as they are") {
  StdoutPipe pipe;
  auto log = make_log(options(LogFormat::logfmt));
  log->info("node.started", {{"path", "{} {0} %v"}}, "line\nbreak");
  log->debug("node.ready", {});
  log.reset();
  const std::string out = pipe.written();
  CHECK(out.starts_with("ts="));
  CHECK(
      out.ends_with(" level=info event=node.started node=n1 path=\"{} {0} %v\" "
                    "msg=\"line\\nbreak\"\n"));
}

TEST_CASE("JSON lines parse, and lines of several threads do not mix") {
  StdoutPipe pipe;
  auto log = make_log(options(LogFormat::json));
  const auto writer = [&](int id) {
    for (int i = 0; i < 50; ++i) log->info("tick.enqueued", {{"thread", id}, {"i", i}});
  };
  std::thread other(writer, 1);
  writer(2);
  other.join();
  log.reset();
  std::istringstream lines(pipe.written());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    CHECK(nlohmann::json::parse(line)["event"] == "tick.enqueued");
  }
  CHECK(count == 100);
}

TEST_CASE("the level can change while the log is used") {
  StdoutPipe pipe;
  auto log = make_log(options(LogFormat::logfmt, LogLevel::warning));
  CHECK_FALSE(log->enabled(LogLevel::info));
  CHECK(log->enabled(LogLevel::warning));
  log->write(LogLevel::info, "a.hidden", {}, "");
  log->set_level(LogLevel::debug);
  CHECK(log->level() == LogLevel::debug);
  log->debug("a.shown", {});
  log.reset();
  const std::string out = pipe.written();
  CHECK(out.find("a.hidden") == std::string::npos);
  CHECK(out.find("a.shown") != std::string::npos);
}

TEST_CASE("a tap gets every written line as JSON until it is removed") {
  StdoutPipe pipe;
  const auto log = make_log(options(LogFormat::logfmt));
  std::vector<std::string> tapped;
  log->set_tap([&](std::string_view line) { tapped.emplace_back(line); });
  log->info("a.one", {{"n", 1}});
  log->debug("a.below", {});
  log->set_tap({});
  log->info("a.two", {});
  REQUIRE(tapped.size() == 1);
  const auto line = nlohmann::json::parse(tapped[0]);
  CHECK(line["event"] == "a.one");
  CHECK(line["n"] == 1);
  CHECK(line["node"] == "n1");
}

TEST_CASE("log words: each form and level, anything else is refused") {
  CHECK(parse_log_format("logfmt") == LogFormat::logfmt);
  CHECK(parse_log_format("json") == LogFormat::json);
  CHECK(parse_log_format("journal") == LogFormat::journal);
  CHECK(sentence_of<ConfigError>([] { parse_log_format("xml"); }) ==
        "log format: xml is not a choice, expected auto, logfmt, json or journal");
  CHECK(parse_log_level("debug") == LogLevel::debug);
  CHECK(parse_log_level("error") == LogLevel::error);
  CHECK(sentence_of<ConfigError>([] { parse_log_level("Info"); }) ==
        "log level: Info is not a choice, expected debug, info, warning or error");
}

TEST_CASE("auto is the journal only when stderr leads there") {
  struct stat found {};
  REQUIRE(::fstat(STDERR_FILENO, &found) == 0);
  const std::string ours = std::to_string(found.st_dev) + ":" + std::to_string(found.st_ino);
  CHECK(parse_log_format("auto") == LogFormat::logfmt);
  {
    const ScopedEnv stream("JOURNAL_STREAM", ours);
    CHECK(parse_log_format("auto") == LogFormat::journal);
  }
  const ScopedEnv stream("JOURNAL_STREAM", ours + "1");
  CHECK(parse_log_format("auto") == LogFormat::logfmt);
}
