// rowcrew-shim: the guardian between the daemon and one child program.
//
//   rowcrew-shim TIMEOUT_MS GRACE_MS LEASE_MS MAX_MEMORY MAX_CPU_S DIRECTORY PROGRAM [ARGUMENT...]
//
// LEASE_MS is a moment of CLOCK_BOOTTIME, 0 for none: unless the daemon names a later one in time,
// its lease is over then, and the group gets SIGTERM and after the grace SIGKILL. So a child ends in
// time even when its daemon is stopped (SIGSTOP) or stuck.
//
// Descriptors 0, 1 and 2 are the program's. 3 is the control pipe: words of eight bytes
// (control_word.hpp), "please end" or a later LEASE_MS; its end means that the daemon is dead, hence
// SIGKILL at once. 4 is the status pipe, one "word number" per line: "pid 71", then "exit 3",
// "signal 9" or, when the program never ran, the step that failed with its errno ("chdir 2",
// "limit 1", "exec 2", "spawn 11"); "timeout 0" comes before the last line when the deadline ended
// it, "lease 0" when the lease did.
//
// It exits when no descendant is left. Being a subreaper, it inherits whatever the program leaves
// behind, also what escaped to a group or session of its own. It inherits the program's environment
// and uses none of it.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstring>

#include "proc/control_word.hpp"
#include "proc/kill_ladder.hpp"

namespace {

using rowcrew::KillLadder;

constexpr int kControl = 3;
constexpr int kStatus = 4;
// What programs are used to begin with, whatever the daemon needs; they may raise it, as anywhere.
constexpr int kOpenFiles = 1024;
constexpr int kKillAgainMs = 20;  // a process may be born between two looks at the list
constexpr int kExitUsage = 64;
constexpr int kExitNotRun = 127;

struct Order {
  std::int64_t timeout_ms = 0;
  std::int64_t grace_ms = 0;
  std::int64_t lease_ms = 0;
  std::uint64_t max_memory = 0;
  std::uint64_t max_cpu_s = 0;
  const char* directory = nullptr;
  char** argv = nullptr;
};

void report(const char* word, long number) {
  char line[64];
  const int length = snprintf(line, sizeof line, "%s %ld\n", word, number);
  // A failure means that the daemon is gone; the control pipe says so as well.
  if (write(kStatus, line, static_cast<std::size_t>(length)) < 0) return;
}

template <class T>
bool parse(const char* text, T& number) {
  const char* const end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, number);
  return error == std::errc{} && at == end;
}

bool parse_order(int argc, char** argv, Order& order) {
  if (argc < 8) return false;
  order.directory = argv[6];
  order.argv = argv + 7;
  return parse(argv[1], order.timeout_ms) && parse(argv[2], order.grace_ms) &&
         parse(argv[3], order.lease_ms) && parse(argv[4], order.max_memory) &&
         parse(argv[5], order.max_cpu_s);
}

// Lowers a limit; one that is lower already stays.
bool limit(int resource, std::uint64_t soft, std::uint64_t hard) {
  rlimit now{};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &now) != 0) return false;
  if (now.rlim_max == RLIM_INFINITY || hard < now.rlim_max) now.rlim_max = hard;
  now.rlim_cur = soft < now.rlim_max ? soft : now.rlim_max;
  return setrlimit(static_cast<__rlimit_resource>(resource), &now) == 0;
}

bool set_limits(const Order& order) {
  if (!limit(RLIMIT_CORE, 0, 0) || !limit(RLIMIT_NOFILE, kOpenFiles, RLIM_INFINITY)) return false;
  // SIGXCPU first, so that a program may say something; SIGKILL one second later.
  if (order.max_cpu_s > 0 && !limit(RLIMIT_CPU, order.max_cpu_s, order.max_cpu_s + 1)) return false;
  // Last: from here on this process may not be able to grow.
  return order.max_memory == 0 || limit(RLIMIT_AS, order.max_memory, order.max_memory);
}

[[noreturn]] void give_up(const char* step) {
  report(step, errno);
  _exit(kExitNotRun);
}

// Between fork and exec.
[[noreturn]] void become_program(const Order& order, pid_t shim) {
  setpgid(0, 0);
  // Second line of defence, should this shim be killed. It may have died before it was set.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != shim) _exit(kExitNotRun);
  if (chdir(order.directory) != 0) give_up("chdir");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !set_limits(order)) give_up("limit");
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(order.argv[0], order.argv, environ);
  give_up("exec");
}

class Guardian {
 public:
  explicit Guardian(const Order& order) : order_(order) {}

  // False: nothing runs; errno says why.
  bool start();
  // Returns when no descendant is left.
  void watch();

 private:
  void arm(std::int64_t ms) const;
  void arm_lease(std::int64_t boottime_ms) const;
  void obey(KillLadder::Step step);
  void read_control();
  bool reap();
  void signal_group(int signal) const;
  void kill_everything() const;
  void report_end() const;

  const Order& order_;
  KillLadder ladder_;
  pid_t program_ = 0;
  bool reaped_ = false;
  int status_ = 0;
  int control_ = kControl;  // -1 once it ended
  int timer_ = -1;
  int lease_ = -1;
  int children_ = -1;
};

bool Guardian::start() {
  sigset_t all;
  sigfillset(&all);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  // Nothing but SIGKILL ends a shim: a signal to the daemon's whole group or control group must
  // not take the guardian away before its child.
  if (sigprocmask(SIG_SETMASK, &all, nullptr) != 0) return false;
  signal(SIGCHLD, SIG_DFL);
  children_ = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  // Boot time goes on in suspend, as the lease does.
  timer_ = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  lease_ = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (children_ < 0 || timer_ < 0 || lease_ < 0) return false;
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return false;
  arm(order_.timeout_ms);
  arm_lease(order_.lease_ms);

  const pid_t shim = getpid();
  program_ = fork();
  if (program_ < 0) return false;
  if (program_ == 0) become_program(order_, shim);
  setpgid(program_, program_);  // whichever of the two comes first
  report("pid", program_);
  return true;
}

void Guardian::watch() {
  for (;;) {
    pollfd fds[] = {
        {control_, POLLIN, 0}, {timer_, POLLIN, 0}, {children_, POLLIN, 0}, {lease_, POLLIN, 0}};
    poll(fds, 4, ladder_.killing() ? kKillAgainMs : -1);
    signalfd_siginfo ignored;
    while (read(children_, &ignored, sizeof ignored) > 0) {
    }
    // First, so that a program that ended just before its deadline did not time out.
    if (!reap()) break;
    if (fds[0].revents != 0) read_control();
    std::uint64_t fired = 0;
    if (read(timer_, &fired, sizeof fired) > 0) obey(ladder_.timer());
    // After the control pipe, which may have moved it on.
    if (read(lease_, &fired, sizeof fired) > 0) obey(ladder_.lease_over());
    if (ladder_.killing()) kill_everything();
  }
  report_end();
}

void Guardian::arm(std::int64_t ms) const {
  if (ms < 1) ms = 1;  // zero would disarm it
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(ms / 1000);
  when.it_value.tv_nsec = static_cast<long>(ms % 1000) * 1000000;
  timerfd_settime(timer_, 0, &when, nullptr);
}

void Guardian::arm_lease(std::int64_t boottime_ms) const {
  itimerspec when{};  // zero disarms it: no lease
  when.it_value.tv_sec = static_cast<time_t>(boottime_ms / 1000);
  when.it_value.tv_nsec = static_cast<long>(boottime_ms % 1000) * 1000000;
  timerfd_settime(lease_, TFD_TIMER_ABSTIME, &when, nullptr);
}

void Guardian::obey(KillLadder::Step step) {
  switch (step) {
    case KillLadder::Step::none:
      break;
    case KillLadder::Step::terminate:
      arm(order_.grace_ms);
      signal_group(SIGTERM);
      break;
    case KillLadder::Step::kill:
      kill_everything();
      break;
  }
}

void Guardian::read_control() {
  std::int64_t word = 0;
  // Words are written whole, so they are read whole.
  if (read(control_, &word, sizeof word) != sizeof word) {
    control_ = -1;
    obey(ladder_.orphaned());
  } else if (word == rowcrew::kPleaseEnd) {
    obey(ladder_.asked());
  } else {
    arm_lease(word);
  }
}

// False: no child is left, and as a subreaper's descendants all become its children in the end, no
// descendant either.
bool Guardian::reap() {
  siginfo_t info{};
  if (!reaped_ &&
      waitid(P_PID, static_cast<id_t>(program_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
      info.si_pid == program_) {
    obey(ladder_.program_ended());  // while the dead leader still keeps the group's number taken
  }
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return pid == 0 || errno != ECHILD;
    if (pid == program_) {
      status_ = status;
      reaped_ = true;
    }
  }
}

void Guardian::signal_group(int signal) const {
  if (reaped_) return;  // the number may belong to somebody else by now
  if (kill(-program_, signal) != 0) kill(program_, signal);  // it moved to another group
}

void Guardian::kill_everything() const {
  signal_group(SIGKILL);  // in one step, which no fork can slip through
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", static_cast<int>(getpid()));
  const int list = open(path, O_RDONLY | O_CLOEXEC);
  if (list < 0) return;
  char text[4096];
  pid_t pid = 0;
  // Direct children only: theirs become ours when they die, and the next look finds them. Nobody
  // else reaps them, so that a number on the list cannot have changed hands.
  for (ssize_t length = 0; (length = read(list, text, sizeof text)) > 0;) {
    for (ssize_t i = 0; i < length; ++i) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = pid * 10 + (text[i] - '0');
      } else if (pid > 0) {
        kill(pid, SIGKILL);
        pid = 0;
      }
    }
  }
  close(list);
}

void Guardian::report_end() const {
  if (ladder_.timed_out()) report("timeout", 0);
  if (ladder_.outlived_lease()) report("lease", 0);
  if (WIFSIGNALED(status_)) {
    report("signal", WTERMSIG(status_));
  } else {
    report("exit", WEXITSTATUS(status_));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Order order;
  if (!parse_order(argc, argv, order) || fcntl(kControl, F_SETFD, FD_CLOEXEC) != 0 ||
      fcntl(kStatus, F_SETFD, FD_CLOEXEC) != 0) {
    return kExitUsage;
  }
  syscall(SYS_close_range, kStatus + 1, ~0U, 0);
  Guardian guardian(order);
  if (!guardian.start()) {
    report("spawn", errno);
    return kExitNotRun;
  }
  guardian.watch();
  _exit(0);
}
