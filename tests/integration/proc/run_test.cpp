// What a child gets, and what comes back from it.
#include <fcntl.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <set>

#include "integration/proc/children.hpp"

namespace rowcrew::testing {
namespace {

TEST_CASE("child: output, errors and the exit status come back") {
  Children children;
  const ChildResult result = children.run(children.shell("echo out; echo err >&2; exit 3"));
  CHECK(result.exit_code == 3);
  CHECK(result.signal == 0);
  CHECK_FALSE(result.timed_out);
  CHECK_FALSE(result.output_truncated);
  CHECK(result.output == "out\n");
  CHECK(result.errors == "err\n");
  CHECK(children.log.lines("child.ended").size() == 1);
}

TEST_CASE("child: a death by signal is told from an exit") {
  Children children;
  const ChildResult result = children.run(children.shell("kill -SEGV $$"));
  CHECK(result.signal == SIGSEGV);
  CHECK_FALSE(result.timed_out);
}

TEST_CASE("child: what cannot be run is refused with a reason") {
  Children children;
  const auto script = [&](const char* name, const char* text, bool executable) {
    const auto path = children.directory / name;
    std::ofstream(path) << text;
    using std::filesystem::perms;
    std::filesystem::permissions(path, executable ? perms::owner_all : perms::owner_read);
    return ChildRequest({path.string()});
  };
  CHECK(children.code_of(ChildRequest({"/no/such/program"})) == "child_not_found");
  CHECK(children.code_of(script("orphan", "#!/no/such/interpreter\n", true)) == "child_not_found");
  CHECK(children.code_of(script("plain", "text\n", false)) == "child_not_executable");
  CHECK(children.code_of(script("shapeless", "text\n", true)) == "child_not_executable");
  CHECK(children.code_of(ChildRequest({"sh"})) == "child_bad_request");
  CHECK(children.code_of(ChildRequest({"/bin/echo", std::string("a\0b", 3)})) ==
        "child_bad_request");
  ChildRequest lost({"/bin/true"});
  lost.directory = "/no/such/directory";
  CHECK(children.code_of(std::move(lost)) == "child_bad_request");
  CHECK(children.code_of(ChildRequest({"/bin/echo", std::string(1 << 20, 'x')})) ==
        "child_bad_request");
}

TEST_CASE("child: output above the limit is cut, and the program never blocks on it") {
  Children children;
  ChildRequest request = children.shell("yes | head -c 10485760; echo done >&2");
  request.max_output_bytes = 1000;
  const ChildResult result = children.run(std::move(request));
  CHECK(result.exit_code == 0);
  CHECK(result.output.size() == 1000);
  CHECK(result.output.starts_with("y\ny\n"));
  CHECK(result.output_truncated);
  CHECK(result.errors == "done\n");
}

TEST_CASE("child: of errors above the limit the last are kept, for they say why it failed") {
  Children children;
  ChildRequest request = children.shell("(yes warning | head -c 1000000; echo no space left) >&2; exit 1");
  request.max_output_bytes = 1000;
  const ChildResult result = children.run(std::move(request));
  CHECK(result.errors.size() == 1000);
  CHECK(result.errors.ends_with("warning\nno space left\n"));
  CHECK(result.output_truncated);
}

TEST_CASE("child: output that just fits is complete") {
  Children children;
  ChildRequest request = children.shell("head -c 300000 /dev/zero");
  request.max_output_bytes = 300000;
  const ChildResult result = children.run(std::move(request));
  CHECK(result.output.size() == 300000);
  CHECK_FALSE(result.output_truncated);
}

TEST_CASE("child: its stdin is fed, however long, and then ends") {
  Children children;
  ChildRequest request = children.shell("wc -c");
  request.input = std::string(5'000'000, 'x');
  CHECK(children.run(std::move(request)).output == "5000000\n");
  CHECK(children.run(children.shell("cat; echo end")).output == "end\n");
}

TEST_CASE("child: one that does not read its stdin is no error") {
  Children children;
  ChildRequest request = children.shell("exec <&-; echo unread");
  request.input = std::string(5'000'000, 'x');
  const ChildResult result = children.run(std::move(request));
  CHECK(result.exit_code == 0);
  CHECK(result.output == "unread\n");
}

TEST_CASE("child: its environment is exactly what was given") {
  Children children;
  ::setenv("NOTIFY_SOCKET", "/run/nobody", 1);
  ChildRequest request({"/usr/bin/env"});
  request.env = {{"A", "1"}, {"B", "two words=x"}};
  CHECK(children.run(std::move(request)).output == "A=1\nB=two words=x\n");
  CHECK(children.run(ChildRequest({"/usr/bin/env"})).output.empty());
  ::unsetenv("NOTIFY_SOCKET");
}

TEST_CASE("child: only descriptors 0, 1 and 2 reach it") {
  Children children;
  const int leaked = ::open("/dev/null", O_RDONLY);  // not close-on-exec, as in a careless library
  REQUIRE(leaked >= 0);
  // ls itself holds 3 for the directory.
  CHECK(children.run(ChildRequest({"/bin/ls", "/proc/self/fd"})).output == "0\n1\n2\n3\n");
  ::close(leaked);
}

std::uint64_t signal_set(const std::string& status, const std::string& name) {
  const auto at = status.find(name + ":\t");
  REQUIRE(at != std::string::npos);
  return std::stoull(status.substr(at + name.size() + 2, 16), nullptr, 16);
}

TEST_CASE("child: signals, limits and privileges are those of a fresh, confined process") {
  Children children;
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t usr2;
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  ::pthread_sigmask(SIG_BLOCK, &usr2, nullptr);
  const std::string status = children.run(ChildRequest({"/bin/cat", "/proc/self/status"})).output;
  ::pthread_sigmask(SIG_UNBLOCK, &usr2, nullptr);
  ::signal(SIGUSR1, SIG_DFL);
  CHECK(signal_set(status, "SigBlk") == 0);
  // glibc's posix_spawn leaves its own two signals, 32 and 33, ignored.
  CHECK((signal_set(status, "SigIgn") & ~0x180000000U) == 0);
  CHECK(status.find("NoNewPrivs:\t1") != std::string::npos);
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  const rlimit large{core.rlim_max, core.rlim_max};
  ::setrlimit(RLIMIT_CORE, &large);
  CHECK(children.run(children.shell("ulimit -c; pwd")).output ==
        "0\n" + children.directory.string() + "\n");
  ::setrlimit(RLIMIT_CORE, &core);
}

TEST_CASE("child: it may open a thousand files, and more where the daemon may") {
  Children children;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  REQUIRE(files.rlim_max >= 1024);
  const rlimit daemons{files.rlim_max, files.rlim_max};  // which takes all that it may
  ::setrlimit(RLIMIT_NOFILE, &daemons);
  const std::string output = children.run(children.shell("ulimit -n; ulimit -Hn")).output;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const rlim_t most = files.rlim_max;
  CHECK(output == "1024\n" + (most == RLIM_INFINITY ? std::string("unlimited") : std::to_string(most)) + "\n");
}

TEST_CASE("child: memory above its limit is refused to it") {
  Children children;
  const auto allocate = [&](std::uint64_t limit) {
    ChildRequest request({"/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"});
    request.max_memory_bytes = limit;
    return children.run(std::move(request));
  };
  CHECK(allocate(0).exit_code == 0);
  const ChildResult refused = allocate(std::uint64_t{100} << 20);
  CHECK(refused.exit_code == 1);
  CHECK(refused.errors.find("memory") != std::string::npos);
}

TEST_CASE("child: processor time above its limit ends it") {
  Children children;
  ChildRequest request = children.shell("while :; do :; done");
  request.max_cpu = 1s;
  const ChildResult result = children.run(std::move(request));
  CHECK(result.signal == SIGXCPU);
  CHECK_FALSE(result.timed_out);
}

TEST_CASE("child: a hundred at once get their own input back") {
  Children children;
  constexpr int kCount = 100;
  std::set<std::string> outputs;
  int ended = 0;
  for (int i = 0; i < kCount; ++i) {
    ChildRequest request = children.shell("cat; exit 7");
    request.input = "input " + std::to_string(i);
    boost::asio::co_spawn(children.io, children.runner.run(std::move(request)),
                          [&](std::exception_ptr error, ChildResult result) {
                            CHECK_FALSE(error);
                            CHECK(result.exit_code == 7);
                            outputs.insert(result.output);
                            if (++ended == kCount) children.io.stop();
                          });
  }
  children.io.run();
  CHECK(outputs.size() == kCount);
  CHECK(children.processes().empty());
}

}  // namespace
}  // namespace rowcrew::testing
