#include "programs/dev/dev_child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <rowcrew/error.hpp>

namespace rowcrew::dev {
namespace {

constexpr int kNotStarted = 127;
constexpr std::size_t kMaxOutput = std::size_t{64} << 10;

/// C strings of `words`, which must outlive them.
std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> found;
  for (std::string& word : words) found.push_back(word.data());
  found.push_back(nullptr);
  return found;
}

std::vector<std::string> environment_with(
    const std::vector<std::pair<std::string, std::string>>& more) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    // Settings of ours would be settings of every program below.
    if (!std::string_view(*entry).starts_with("ROWCREW_")) all.emplace_back(*entry);
  }
  for (const auto& [name, value] : more) all.push_back(name + "=" + value);
  return all;
}

/// What the new process does between fork and exec; only async-signal-safe calls.
struct Stage {
  int in = -1;
  int out = -1;  ///< -1: ours
  int err = -1;  ///< -1: ours
  bool dies_with_us = false;
  pid_t parent = 0;
};

[[noreturn]] void become(const Stage& stage, char** argv, char** env) {
  ::setsid();
  if (stage.dies_with_us) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != stage.parent) ::_exit(kNotStarted);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(stage.in, STDIN_FILENO);
  if (stage.out >= 0) ::dup2(stage.out, STDOUT_FILENO);
  if (stage.err >= 0) ::dup2(stage.err, STDERR_FILENO);
  ::close_range(3, ~0U, 0);
  ::execve(argv[0], argv, env);
  ::_exit(kNotStarted);
}

[[noreturn]] void refuse(const std::string& subject) {
  throw TransientError("child_start", fmt::format("{}: {}", subject, std::strerror(errno)));
}

pid_t start_process(Stage stage, std::vector<std::string> argv, std::vector<std::string> env) {
  if (::access(argv[0].c_str(), X_OK) != 0) refuse(argv[0]);
  auto words = pointers(argv);
  auto settings = pointers(env);
  stage.parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) refuse(argv[0]);
  if (pid == 0) become(stage, words.data(), settings.data());
  return pid;
}

UniqueFd open_file(const char* path, int flags) {
  UniqueFd fd(::open(path, flags | O_CLOEXEC, 0600));
  if (fd.get() < 0) refuse(path);
  return fd;
}

std::pair<UniqueFd, UniqueFd> open_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) refuse("pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) return fmt::format("signal {}", WTERMSIG(status));
  const int code = WEXITSTATUS(status);
  return code == 0 ? std::string() : fmt::format("status {}", code);
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

Child::Child(ChildStart start) : start_(std::move(start)) {
  const UniqueFd nothing = open_file("/dev/null", O_RDONLY);
  const UniqueFd log = open_file(start_.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
  const Stage stage{nothing.get(), log.get(), log.get(), true};
  pid_ = start_process(stage, start_.argv, environment_with(start_.environment));
  handle_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (handle_.get() < 0) {
    ::kill(pid_, SIGKILL);
    reap(pid_);
    refuse(start_.argv[0]);
  }
}

Child::~Child() {
  if (end_) return;
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  reap(pid_);
}

std::optional<std::string> Child::wait(std::chrono::milliseconds within) {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + within;
  while (!end_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    pollfd watch{handle_.get(), POLLIN, 0};
    const int ready = ::poll(&watch, 1, std::max<int>(0, static_cast<int>(left.count())));
    if (ready > 0) {
      end_ = describe_end(reap(pid_));
    } else if (left.count() <= 0) {
      return std::nullopt;
    }
  }
  return end_;
}

std::string Child::stop(std::chrono::milliseconds within) {
  if (!end_) ::kill(pid_, SIGTERM);
  if (const auto end = wait(within)) return *end;
  ::kill(-pid_, SIGKILL);
  wait(std::chrono::seconds(10));
  return fmt::format("no end within {} s after SIGTERM", within.count() / 1000);
}

std::string Child::output(std::size_t from) const {
  std::ifstream file(start_.log, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(from));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string Child::last_lines(std::size_t count) const {
  std::istringstream text(output());
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(std::move(line));
  std::string out;
  for (std::size_t i = lines.size() > count ? lines.size() - count : 0; i < lines.size(); ++i) {
    out += "    " + lines[i] + "\n";
  }
  return out;
}

std::string run_program(const std::vector<std::string>& argv) {
  const UniqueFd nothing = open_file("/dev/null", O_RDONLY);
  auto [reading, writing] = open_pipe();
  const pid_t pid = start_process({nothing.get(), writing.get()}, argv, environment_with({}));
  writing.reset();
  std::string output;
  char buffer[4096];
  for (;;) {
    const auto got = ::read(reading.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (output.size() < kMaxOutput) output.append(buffer, static_cast<std::size_t>(got));
  }
  const std::string end = describe_end(reap(pid));
  if (!end.empty()) {
    throw TransientError("child_failed", fmt::format("{}: ended with {}", argv[0], end));
  }
  return output;
}

LastAct::LastAct(std::vector<std::string> argv) {
  auto [reading, writing] = open_pipe();
  // Nobody ever writes: "read" returns when this process and its descriptors are gone.
  std::vector<std::string> waiting{"/bin/sh", "-c", "read -r nothing; exec \"$@\"", "dev"};
  for (std::string& word : argv) waiting.push_back(std::move(word));
  pid_ = start_process({reading.get()}, std::move(waiting), environment_with({}));
  pipe_ = std::move(writing);
}

LastAct::~LastAct() {
  pipe_.reset();
  reap(pid_);
}

}  // namespace rowcrew::dev
