#include "base/secret_source.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "base/system_clock.hpp"
#include "base/units.hpp"

namespace rowcrew {
namespace {

constexpr std::size_t kMaxSecretBytes = std::size_t{64} << 10;

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string reason_of(int error) {
  return std::generic_category().message(error);
}

/// Pointers to the parts of our environment that a command may see.
std::vector<char*> inherited_environment() {
  std::vector<char*> kept;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("ROWCREW_")) kept.push_back(*entry);
  }
  kept.push_back(nullptr);
  return kept;
}

/// A running command that is its own process group. Dies with this object.
class Command {
 public:
  Command(const std::vector<std::string>& argv, std::string_view subject);
  ~Command() { end(); }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  /// Everything it wrote when it ended by itself; throws ConfigError.
  std::string output(Mono until, int give_up);
  /// Kills what is left of the group and returns the wait status of the command itself.
  int end();

 private:
  /// False at the end of the output, for now or for good.
  bool read_some(std::string& out);
  template <class E = ConfigError>
  [[noreturn]] void refuse(std::string_view found, std::string_view expected) const {
    throw E(fmt::format("{}: {} {}, expected {}", subject_, shown(program_), found, expected));
  }

  std::string subject_;
  std::string program_;
  pid_t pid_ = -1;
  Fd ended_;  ///< readable when the command has ended
  Fd out_;
};

Command::Command(const std::vector<std::string>& argv, std::string_view subject)
    : subject_(subject), program_(argv.empty() ? "" : argv.front()) {
  if (!program_.starts_with('/')) refuse("is no absolute path", "a program and its arguments");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) refuse(reason_of(errno), "a pipe");
  out_ = Fd(ends[0]);
  const Fd theirs(ends[1]);
  ::fcntl(out_.get(), F_SETFL, O_NONBLOCK);

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, theirs.get(), STDOUT_FILENO);
  // It may leave an agent running, which must not go on listening on our port.
  ::posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  auto environment = inherited_environment();
  const int error =
      ::posix_spawn(&pid_, program_.c_str(), &files, &attributes, words.data(), environment.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (error != 0) {
    pid_ = -1;
    refuse("cannot be started: " + reason_of(error), "an executable program");
  }
  ended_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (ended_.get() < 0) {
    const int reason = errno;
    end();  // the destructor of a half-built object does not run
    refuse(reason_of(reason), "a descriptor for the process");
  }
}

bool Command::read_some(std::string& out) {
  char piece[4096];
  const ssize_t got = ::read(out_.get(), piece, sizeof piece);
  if (got > 0) {
    out.append(piece, static_cast<std::size_t>(got));
    ::explicit_bzero(piece, sizeof piece);
    if (out.size() > kMaxSecretBytes) refuse("wrote more than 64KiB", "a secret");
    return true;
  }
  if (got == 0) out_.close();  // poll ignores a negative descriptor
  return false;
}

std::string Command::output(Mono until, int give_up) {
  const SystemClock clock;
  std::string out;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock.mono()).count();
    if (left <= 0) refuse<NoSecretYet>("did not end in time", "a secret on its standard output");
    pollfd watched[] = {{out_.get(), POLLIN, 0}, {ended_.get(), POLLIN, 0}, {give_up, POLLIN, 0}};
    if (::poll(watched, 3, static_cast<int>(left)) < 0 && errno != EINTR) {
      refuse(reason_of(errno), "a secret on its standard output");
    }
    if (watched[2].revents != 0) refuse<NoSecretYet>("was given up on", "a secret on its standard output");
    if (watched[0].revents != 0) read_some(out);
    if (watched[1].revents == 0) continue;
    while (read_some(out)) {
    }
    break;
  }
  const int status = end();
  if (WIFSIGNALED(status))
    refuse<NoSecretYet>(fmt::format("was ended by signal {}", WTERMSIG(status)), "exit code 0");
  if (WEXITSTATUS(status) != 0) {
    refuse<NoSecretYet>(fmt::format("ended with exit code {}", WEXITSTATUS(status)), "exit code 0");
  }
  return out;
}

int Command::end() {
  if (pid_ <= 0) return 0;
  // Not reaped yet, so the group's number cannot be anybody else's.
  ::kill(-pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

}  // namespace

std::string run_secret_command(const std::vector<std::string>& argv,
                               std::chrono::milliseconds within, std::string_view subject, int give_up) {
  Command command(argv, subject);
  return command.output(SystemClock().mono() + within, give_up);
}

void wipe_environment(const std::string& name) {
  if (char* const value = std::getenv(name.c_str())) ::explicit_bzero(value, std::strlen(value));
  ::unsetenv(name.c_str());
}

std::string trim_line_ends(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

}  // namespace rowcrew
