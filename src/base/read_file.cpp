#include "base/read_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace rowcrew {
namespace {

ReadResult failed(int error) {
  return {{}, std::generic_category().message(error), error == ENOENT || error == ENOTDIR};
}

}  // namespace

ReadResult read_file(const std::string& path, std::size_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed(errno);
  ReadResult result;
  char piece[8192];
  for (;;) {
    const ssize_t got = ::read(fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) result = failed(errno);
    if (got <= 0) break;
    result.content.append(piece, static_cast<std::size_t>(got));
    if (result.content.size() > max_bytes) {
      result = {{}, fmt::format("larger than {} bytes", max_bytes), false};
      break;
    }
  }
  ::close(fd);
  return result;
}

}  // namespace rowcrew
