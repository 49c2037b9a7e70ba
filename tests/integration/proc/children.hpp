// What the tests of the child runner share: a runner, shell requests whose processes can be found
// by a mark in their environment, and waits for something that can be observed.
#pragma once

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include <rowcrew/error.hpp>
#include "base/system_clock.hpp"
#include "proc/posix_child_runner.hpp"
#include "support/log_capture.hpp"
#include "support/run.hpp"

namespace rowcrew::testing {

using namespace std::chrono_literals;

inline constexpr std::chrono::seconds kPatience{20};
inline constexpr std::chrono::seconds kAnyGrace{1000};  // requests say how long

inline std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A directory of its own per test, and what runs in it.
class Children {
 public:
  Children() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rowcrew-proc-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    directory = pattern;
    mark_ = "ROWCREW_TEST_MARK=" + directory.filename().string();
  }
  ~Children() { std::filesystem::remove_all(directory); }

  /// Runs `script` in the test's directory.
  ChildRequest shell(const std::string& script) const {
    ChildRequest request({"/bin/sh", "-c", script});
    const auto equals = mark_.find('=');
    request.env = {{"PATH", "/usr/bin:/bin"}, {mark_.substr(0, equals), mark_.substr(equals + 1)}};
    request.directory = directory;
    return request;
  }

  ChildResult run(ChildRequest request) { return testing::run(io, runner.run(std::move(request))); }

  std::string code_of(ChildRequest request) {
    try {
      run(std::move(request));
    } catch (const Error& error) {
      return error.code();
    }
    return "";
  }

  /// Living processes of this test's shell requests, the shims among them. With `name`, only those
  /// of that command.
  std::vector<pid_t> processes(const std::string& name = {}) const {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string number = entry.path().filename();
      if (number.find_first_not_of("0123456789") != number.npos) continue;
      if (contents(entry.path() / "environ").find(mark_) == std::string::npos) continue;
      if (!name.empty() && contents(entry.path() / "comm") != name + "\n") continue;
      found.push_back(std::stoi(number));
    }
    return found;
  }

  bool exists(const std::string& file) const { return std::filesystem::exists(directory / file); }

  /// For coroutines: returns as soon as `condition` holds, fails the test if it never does.
  boost::asio::awaitable<void> until(std::function<bool()> condition) {
    const Mono deadline = clock.mono() + kPatience;
    while (!condition()) {
      REQUIRE(clock.mono() < deadline);
      boost::asio::steady_timer pause(io, 3ms);
      co_await pause.async_wait(boost::asio::use_awaitable);
    }
  }

  /// The same without an event loop.
  bool holds_soon(const std::function<bool()>& condition) const {
    const Mono deadline = clock.mono() + kPatience;
    while (!condition()) {
      if (clock.mono() >= deadline) return false;
      ::poll(nullptr, 0, 3);
    }
    return true;
  }

  boost::asio::io_context io;
  SystemClock clock;
  LogCapture log;
  PosixChildRunner runner{io.get_executor(), "", clock, log, kAnyGrace};
  std::filesystem::path directory;

 private:
  std::string mark_;
};

}  // namespace rowcrew::testing
