#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "base/secret_source.hpp"
#include "scratch_dir.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
using testing::ScopedEnv;
using testing::ScratchDir;
using testing::sentence_of;

namespace {

struct Given {
  ScratchDir dir;
  ConfigSources sources;

  void file(const std::string& yaml) { sources.file = dir.write("rowcrew.yaml", yaml); }
  std::optional<std::string> secret() const {
    return load_config(sources).section("database").secret("main_url");
  }
  std::string refusal() const {
    return sentence_of<ConfigError>([&] { secret(); });
  }
};

std::vector<std::string> shell(const std::string& script) {
  return {"/bin/sh", "-c", script};
}

std::string command_error(const std::vector<std::string>& argv,
                          std::chrono::milliseconds within = 10s) {
  return sentence_of<ConfigError>([&] { run_secret_command(argv, within, "key_command"); });
}

}  // namespace

TEST_CASE(
    "a secret comes from file, credential, command, environment, configuration, in this order") {
  Given given;
  given.file("database: {main_url: inline}\n");
  CHECK(given.secret() == "inline");

  given.sources.env["ROWCREW_DATABASE_MAIN_URL"] = "environment\n";
  CHECK(given.secret() == "environment");

  const std::string with_command =
      "database:\n  main_url: inline\n  main_url_command: [/bin/echo, command]\n";
  given.file(with_command);
  CHECK(given.secret() == "command");

  given.dir.write("database-main-url", "credential\n");
  {
    const ScopedEnv directory("CREDENTIALS_DIRECTORY", given.dir.path());
    CHECK(given.secret() == "credential");

    const std::string path = given.dir.write("secret", "file\r\n\n");
    given.file(with_command + "  main_url_file: " + path + "\n");
    CHECK(given.secret() == "file");
  }
  given.sources.flags["database.main_url"] = "flag";
  CHECK(given.secret() == "flag");
}

TEST_CASE("a secret that nobody gives is absent") {
  Given given;
  const ScopedEnv directory("CREDENTIALS_DIRECTORY", given.dir.path());
  CHECK(given.secret() == std::nullopt);
  given.file("database: {main_url: }\n");
  CHECK(given.secret() == std::nullopt);
  given.sources.env["ROWCREW_DATABASE_MAIN_URL"] = "";
  CHECK(given.secret() == std::nullopt);
}

TEST_CASE("the path of the file may come from the environment") {
  Given given;
  given.sources.env["ROWCREW_DATABASE_MAIN_URL_FILE"] = given.dir.write("secret", "s3cret");
  CHECK(given.secret() == "s3cret");
  given.sources.env["ROWCREW_DATABASE_MAIN_URL_FILE"] = "/nonexistent/secret";
  CHECK(
      given.refusal() ==
      "database.main_url_file (from ROWCREW_DATABASE_MAIN_URL_FILE): /nonexistent/secret: No such "
      "file or directory, expected a readable file");
}

TEST_CASE("a source that was chosen and cannot be read is an error, not a reason to go on") {
  Given given;
  given.sources.env["ROWCREW_DATABASE_MAIN_URL"] = "environment";
  given.file("database: {main_url_file: " + given.dir.path() + "}\n");
  CHECK(given.refusal() == "database.main_url_file: " + given.dir.path() +
                               ": Is a directory, expected a readable file");
  given.file("database: {main_url_file: " + given.dir.write("empty", "\n") + "}\n");
  CHECK(given.refusal() ==
        "database.main_url_file: " + given.dir.path() + "/empty: empty, expected a secret");
  given.file("database: {main_url_command: [/bin/true]}\n");
  CHECK(given.refusal() == "database.main_url_command: empty, expected a secret");
  given.file("database: {main_url_command: []}\n");
  CHECK(
      given.refusal() ==
      "database.main_url_command: \"\" is no absolute path, expected a program and its arguments");

  given.file("{}");
  REQUIRE(::mkdir((given.dir.path() + "/database-main-url").c_str(), 0700) == 0);
  const ScopedEnv directory("CREDENTIALS_DIRECTORY", given.dir.path());
  CHECK(given.refusal() == "database.main_url: " + given.dir.path() +
                               "/database-main-url: Is a directory, expected a readable file");
}

TEST_CASE("the environment is wiped, even when another source counts") {
  Given given;
  given.file("database: {main_url_file: " + given.dir.write("secret", "file") + "}\n");
  ::setenv("ROWCREW_DATABASE_MAIN_URL", "pa55word", 1);
  const char* const place = std::getenv("ROWCREW_DATABASE_MAIN_URL");
  given.sources.env = rowcrew_environment();
  CHECK(given.secret() == "file");
  CHECK(std::getenv("ROWCREW_DATABASE_MAIN_URL") == nullptr);
  CHECK(std::string_view(place, 8) == std::string_view("\0\0\0\0\0\0\0\0", 8));
}

TEST_CASE("a second read of a wiped secret finds it again") {
  Given given;
  ::setenv("ROWCREW_DATABASE_MAIN_URL", "pa55word", 1);
  given.sources.env = rowcrew_environment();
  const Settings database = load_config(given.sources).section("database");
  CHECK(database.secret("main_url") == "pa55word");
  CHECK(database.secret("main_url") == "pa55word");
}

TEST_CASE("a description and an error never show a secret") {
  Given given;
  given.file(
      "database:\n  main_url: pa55word\n  other: [pa55word]\n"
      "  third_command: [/bin/sh, -c, 'echo pa55word; exit 3']\n");
  const Settings root = load_config(given.sources);
  const Settings database = root.section("database");
  CHECK(database.secret("main_url").has_value());
  CHECK_FALSE(database.secret("absent").has_value());
  const auto refusal = [&](const char* key) { return sentence_of<Error>([&] { database.secret(key); }); };
  CHECK(refusal("other") == "database.other (line 3): a list or section, expected a secret");
  CHECK(refusal("third") ==
        "database.third_command: /bin/sh ended with exit code 3, expected exit code 0");
  CHECK(describe_config(root) ==
        "database.absent = (unset)\ndatabase.main_url = (set)\ndatabase.other = (unset)\n"
        "database.third = (unset)\n");
  CHECK(sentence_of<ConfigError>([&] { check_unknown(root); }) == "nothing was thrown");
}

TEST_CASE("a command that gives no secret yet is a failure that a restart may mend, one that cannot be started is not") {
  Given given;
  for (const char* script : {"exit 7", "kill -9 $$"}) {
    given.file(std::string("database: {main_url_command: [/bin/sh, -c, '") + script + "']}\n");
    CHECK(sentence_of<TransientError>([&] { given.secret(); }).starts_with("database.main_url_command: /bin/sh "));
  }
  given.file("database: {main_url_command: [/nonexistent]}\n");
  CHECK(given.refusal().starts_with("database.main_url_command: /nonexistent cannot be started"));
}

TEST_CASE("a command gets our environment without our variables, and no input") {
  const ScopedEnv ours("ROWCREW_OTHER_SECRET", "x");
  const ScopedEnv theirs("VAULT_TEST_ADDR", "there");
  CHECK(run_secret_command(shell("echo ${ROWCREW_OTHER_SECRET-none} $VAULT_TEST_ADDR; cat"), 10s,
                           "k") == "none there\n");
}

TEST_CASE("what a command leaves running keeps no port of ours taken") {
  const int ours = ::dup(STDERR_FILENO);  // open across exec, as Asio's sockets are
  const std::string script = "[ -e /proc/self/fd/" + std::to_string(ours) + " ] && echo kept || echo closed";
  CHECK(run_secret_command(shell(script), 10s, "k") == "closed\n");
  ::close(ours);
}

TEST_CASE("a command that fails is refused with what happened") {
  CHECK(command_error({"cat"}) ==
        "key_command: cat is no absolute path, expected a program and its arguments");
  CHECK(command_error({"/nonexistent"}) ==
        "key_command: /nonexistent cannot be started: No such file or directory, expected an "
        "executable program");
  CHECK(command_error(shell("kill -9 $$")) ==
        "key_command: /bin/sh was ended by signal 9, expected exit code 0");
  CHECK(command_error(shell("while :; do echo 0123456789012345678901234567890123456789; done")) ==
        "key_command: /bin/sh wrote more than 64KiB, expected a secret");
}

TEST_CASE("a command that does not end is killed with its children") {
  ScratchDir dir;
  const std::string script = "sleep 1000 & echo $! > " + dir.path() + "/pid; echo x; wait";
  CHECK(command_error(shell(script), 100ms) ==
        "key_command: /bin/sh did not end in time, expected a secret on its standard output");
  std::ifstream in(dir.path() + "/pid");
  pid_t child = 0;
  in >> child;
  REQUIRE(child > 0);
  const int fd =
      static_cast<int>(::syscall(SYS_pidfd_open, child, 0));  // fails when it is gone already
  pollfd end{fd, POLLIN, 0};
  CHECK((fd < 0 || ::poll(&end, 1, 5000) == 1));
  ::close(fd);
}

TEST_CASE("a command that is given up on is killed at once") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  REQUIRE(::write(ends[1], "x", 1) == 1);
  CHECK(sentence_of<NoSecretYet>([&] { run_secret_command({"/bin/sleep", "60"}, 60s, "key_command", ends[0]); }) ==
        "key_command: /bin/sleep was given up on, expected a secret on its standard output");
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a command that leaves a child behind is not waited for any longer") {
  CHECK(run_secret_command(shell("sleep 1000 & echo value"), 10s, "k") == "value\n");
}
