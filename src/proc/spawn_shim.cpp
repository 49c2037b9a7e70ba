#include "proc/spawn_shim.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <vector>

#include <rowcrew/error.hpp>

#include "proc/shim_report.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

// The descriptors that the shim expects, 0 to 4.
constexpr int kShimDescriptors = 5;
constexpr int kDropWaitMs = 2000;
// Far above any deadline, far below what overflows in the kernel.
constexpr std::chrono::milliseconds kLongest = 24h * 365;

[[noreturn]] void throw_spawn(const char* step, int error) {
  throw TransientError(is_shortage(error) ? "child_shortage" : "child_spawn", std::string("child: ") + step + ": " + std::strerror(error));
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

// Above the numbers that the shim's ends are copied to, or one copy could overwrite the next.
UniqueFd lifted(UniqueFd fd) {
  if (fd.get() >= kShimDescriptors) return fd;
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kShimDescriptors));
  if (copy.get() < 0) throw_spawn("descriptor", errno);
  return copy;
}

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_spawn("pipe", errno);
  UniqueFd read(ends[0]);
  UniqueFd write(ends[1]);
  return Pipe{lifted(std::move(read)), lifted(std::move(write))};
}

void set_non_blocking(const UniqueFd& fd) {
  // The two ends of a pipe are separate descriptions: the child's end stays blocking.
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) throw_spawn("descriptor", errno);
}

class SpawnAttributes {
 public:
  SpawnAttributes() {
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawn_file_actions_init(&actions_);
    sigset_t signals;
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    // A session of its own: no terminal, and no signal that is meant for the daemon's group.
    ::posix_spawnattr_setflags(&attributes_,
                               static_cast<short>(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID));
  }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  ~SpawnAttributes() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  void give(const UniqueFd& fd, int as) {
    const int error = ::posix_spawn_file_actions_adddup2(&actions_, fd.get(), as);
    if (error != 0) throw_spawn("descriptor", error);
  }
  const posix_spawnattr_t* attributes() const { return &attributes_; }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }

 private:
  posix_spawnattr_t attributes_;
  posix_spawn_file_actions_t actions_;
};

std::vector<std::string> shim_arguments(const ChildRequest& request,
                                        std::optional<Mono> lease_until) {
  const auto ms = [](std::chrono::milliseconds span) {
    return std::to_string(std::clamp(span, 0ms, kLongest).count());
  };
  std::vector<std::string> argv = {"rowcrew-shim",
                                   ms(request.timeout),
                                   ms(request.grace),
                                   std::to_string(lease_until ? boottime_ms(*lease_until) : 0),
                                   std::to_string(request.max_memory_bytes),
                                   std::to_string(std::max(request.max_cpu, 0s).count()),
                                   request.directory};
  argv.insert(argv.end(), request.argv.begin(), request.argv.end());
  return argv;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

pid_t start(const std::string& shim, const ChildRequest& request, std::optional<Mono> lease_until,
            const SpawnAttributes& how) {
  std::vector<std::string> arguments = shim_arguments(request, lease_until);
  std::vector<std::string> variables;
  for (const auto& [name, value] : request.env) variables.push_back(name + "=" + value);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, shim.c_str(), how.actions(), how.attributes(),
                                  pointers(arguments).data(), pointers(variables).data());
  if (error == E2BIG) {
    throw PermanentError("child_bad_request",
                         "child " + request.argv[0] + ": arguments and environment are too long");
  }
  if (error != 0) throw_spawn("shim", error);
  return pid;
}

}  // namespace

ShimProcess::~ShimProcess() {
  if (pid.value == 0) return;
  control.reset();
  pollfd ended{handle.get(), POLLIN, 0};
  if (::poll(&ended, 1, kDropWaitMs) == 1) reap();
}

void ShimProcess::reap() {
  while (::waitpid(pid.value, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid.value = 0;
}

void ShimProcess::kill() const {
  ::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0);
}

void check_request(const ChildRequest& request) {
  const auto has_nul = [](std::string_view text) { return text.find('\0') != text.npos; };
  const auto refuse = [](const std::string& what) {
    throw PermanentError("child_bad_request", "child: " + what);
  };
  if (request.argv.empty() || !request.argv[0].starts_with('/')) {
    refuse("argv[0] is not an absolute path");
  }
  if (std::any_of(request.argv.begin(), request.argv.end(), has_nul)) {
    refuse("an argument holds a NUL byte");
  }
  if (!request.directory.starts_with('/') || has_nul(request.directory)) {
    refuse("the directory is not an absolute path");
  }
  for (const auto& [name, value] : request.env) {
    if (name.empty() || name.find('=') != name.npos || has_nul(name) || has_nul(value)) {
      refuse("variable \"" + name + "\" is malformed");
    }
  }
}

std::int64_t boottime_ms(Mono moment) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(moment.time_since_epoch());
  return std::max<std::int64_t>(ms.count(), 1);  // zero means something else
}

ShimProcess spawn_shim(const std::string& shim, const ChildRequest& request,
                       std::optional<Mono> lease_until) {
  Pipe input = make_pipe();
  Pipe output = make_pipe();
  Pipe errors = make_pipe();
  Pipe control = make_pipe();
  Pipe status = make_pipe();
  for (const UniqueFd* end :
       {&input.write, &output.read, &errors.read, &control.write, &status.read}) {
    set_non_blocking(*end);
  }
  SpawnAttributes how;
  how.give(input.read, 0);
  how.give(output.write, 1);
  how.give(errors.write, 2);
  how.give(control.read, 3);
  how.give(status.write, 4);

  ShimProcess started;
  started.input = std::move(input.write);
  started.output = std::move(output.read);
  started.errors = std::move(errors.read);
  started.control = std::move(control.write);
  started.status = std::move(status.read);
  started.pid.value = start(shim, request, lease_until, how);
  for (UniqueFd* end : {&input.read, &output.write, &errors.write, &control.read, &status.write}) {
    end->reset();  // before the next line, which may need one of them
  }
  started.handle = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, started.pid.value, 0U)));
  if (started.handle.get() < 0) {
    const int error = errno;
    ::kill(started.pid.value, SIGKILL);  // ours and not reaped: the number is still its own
    started.reap();
    throw_spawn("pidfd", error);
  }
  return started;
}

}  // namespace rowcrew
