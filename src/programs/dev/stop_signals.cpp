#include "programs/dev/stop_signals.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <rowcrew/error.hpp>
#include <string>

namespace rowcrew::dev {

StopSignals::StopSignals() {
  sigset_t watched;
  sigemptyset(&watched);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&watched, signal);
  ::sigprocmask(SIG_BLOCK, &watched, &before_);
  ::signal(SIGPIPE, SIG_IGN);
  handle_ = UniqueFd(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (handle_.get() < 0) {
    throw BugError("signalfd", std::string("signalfd: ") + std::strerror(errno));
  }
}

StopSignals::~StopSignals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

bool StopSignals::wait(std::chrono::milliseconds within) {
  if (stopped_) return true;
  pollfd watch{handle_.get(), POLLIN, 0};
  if (::poll(&watch, 1, static_cast<int>(within.count())) > 0) {
    // One is enough; further ones, a second Ctrl-C too, change nothing.
    signalfd_siginfo info;
    stopped_ = ::read(handle_.get(), &info, sizeof info) == sizeof info;
  }
  return stopped_;
}

}  // namespace rowcrew::dev
