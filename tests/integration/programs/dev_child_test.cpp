#include "programs/dev/dev_child.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <rowcrew/error.hpp>

#include "programs/dev/stop_signals.hpp"

using namespace rowcrew::dev;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "rowcrew-child-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

  ChildStart shell(const std::string& script) const {
    return {"shell", {"/bin/sh", "-c", script}, {{"ROWCREW_GIVEN", "yes"}}, path_ / "log"};
  }

 private:
  fs::path path_;
};

}  // namespace

TEST_CASE("dev child: its end is told as people say it") {
  const Folder folder;
  Child good(folder.shell("exit 0"));
  CHECK(good.wait(10s) == std::string());
  Child bad(folder.shell("exit 3"));
  CHECK(bad.wait(10s) == "status 3");
  CHECK(bad.stop(1s) == "status 3");
  Child killed(folder.shell("kill -9 $$"));
  CHECK(killed.wait(10s) == "signal 9");
}

TEST_CASE("dev child: one that runs is asked to stop, and killed when it will not") {
  const Folder folder;
  Child polite(folder.shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"));
  while (polite.output().empty()) REQUIRE_FALSE(polite.wait(10ms));
  CHECK(polite.stop(10s).empty());
  Child stubborn(folder.shell("trap '' TERM; echo up; while :; do sleep 0.05; done"));
  while (stubborn.output().empty()) REQUIRE_FALSE(stubborn.wait(10ms));
  CHECK(stubborn.stop(1s) == "no end within 1 s after SIGTERM");
}

TEST_CASE("dev child: both outputs are in the log, and settings of ours are not its settings") {
  const Folder folder;
  ::setenv("ROWCREW_NODE_LEASE", "7s", 1);
  Child child(folder.shell("echo one; echo two >&2; env | grep ^ROWCREW_"));
  ::unsetenv("ROWCREW_NODE_LEASE");
  REQUIRE(child.wait(10s));
  CHECK(child.output() == "one\ntwo\nROWCREW_GIVEN=yes\n");
  CHECK(child.output(4) == "two\nROWCREW_GIVEN=yes\n");
  CHECK(child.last_lines(2) == "    two\n    ROWCREW_GIVEN=yes\n");
}

TEST_CASE("dev child: it has a session and none of our descriptors, and no signal is held back") {
  const Folder folder;
  const StopSignals signals;
  const int open = ::dup(STDOUT_FILENO);
  Child child(folder.shell("ls /proc/self/fd | wc -l; [ $(ps -o sid= $$) = $$ ] && echo session; "
                           "grep SigBlk /proc/self/status"));
  REQUIRE(child.wait(10s));
  ::close(open);
  CHECK(child.output() == "4\nsession\nSigBlk:\t0000000000000000\n");
}

TEST_CASE("dev child: a program that is not there is named") {
  const Folder folder;
  ChildStart start = folder.shell("");
  start.argv = {"/nonexistent/program"};
  CHECK_THROWS_WITH_AS(Child{start}, "/nonexistent/program: No such file or directory",
                       rowcrew::TransientError);
}

TEST_CASE("dev child: a program is run for what it says, and its failure is an error") {
  CHECK(run_program({"/bin/echo", "hello"}) == "hello\n");
  CHECK_THROWS_WITH_AS(run_program({"/bin/false"}), "/bin/false: ended with status 1",
                       rowcrew::TransientError);
}

TEST_CASE("dev child: the last act runs when its owner is gone, and not before") {
  const Folder folder;
  const std::string file = (folder.path() / "done").string();
  {
    const LastAct act({"/bin/sh", "-c", "echo done >\"$0\"", file});
    CHECK_FALSE(fs::exists(file));
  }
  CHECK(fs::exists(file));
}

TEST_CASE("dev signals: Ctrl-C is seen, stays seen, and interrupts nothing") {
  StopSignals signals;
  CHECK_FALSE(signals.wait(0ms));
  ::kill(::getpid(), SIGINT);
  CHECK(signals.wait(5s));
  CHECK(signals.wait(0ms));
  CHECK(signals.stopped());
}
