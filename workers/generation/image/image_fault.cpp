#include "image_fault.hpp"

#ifdef ROWCREW_FAULTS

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

namespace rowcrew::image {
namespace {

bool happened_before() {
  const char* path = std::getenv("ROWCREW_IMAGE_FAULT_FILE");
  if (path == nullptr) return false;
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return errno == EEXIST;
  ::close(fd);
  return false;
}

void eat_memory() {
  std::vector<std::string> eaten;
  for (;;) eaten.emplace_back(std::size_t{16} << 20, 'x');
}

}  // namespace

void pass_image_fault(std::string_view point) {
  const char* text = std::getenv("ROWCREW_IMAGE_FAULT");
  if (text == nullptr) return;
  std::string_view what = text;
  const auto at = what.find('@');
  if (point != (at == what.npos ? "image.decoding" : what.substr(at + 1))) return;
  what = what.substr(0, at);
  sigset_t resume;
  sigemptyset(&resume);
  sigaddset(&resume, SIGUSR1);
  sigprocmask(SIG_BLOCK, &resume, nullptr);  // before the file tells anybody that we wait
  if (happened_before()) return;
  int signal = 0;
  if (what == "pause") sigwait(&resume, &signal);
  if (what == "crash") ::raise(SIGSEGV);
  if (what == "memory") eat_memory();
  volatile unsigned long turns = 0;
  while (what == "loop") turns = turns + 1;
}

}  // namespace rowcrew::image

#endif
