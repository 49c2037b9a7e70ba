#include "source_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "failure.hpp"

namespace rowcrew::image {
namespace {

constexpr std::size_t kTail = 64;

[[noreturn]] void refuse_open(const std::string& path, int error) {
  const std::string file = shown(path);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      throw Failure("file_missing", file + ": there is no such file (any more)");
    case ELOOP:
      throw Failure("file_unreadable", file + ": is a symbolic link, expected a file");
    case EACCES:
    case EPERM:
      throw Failure("file_unreadable", file + ": reading it is not permitted");
    case ENXIO:
      throw Failure("file_unreadable", file + ": is no ordinary file");
    case ENAMETOOLONG:
      throw Failure("file_missing", file + ": its path is too long");
    default:
      throw Failure("file_unreadable", file + ": cannot be opened: " + std::strerror(error),
                    kWaitingMayHelp);
  }
}

void check_kind(const std::string& path, const struct stat& info) {
  if (S_ISREG(info.st_mode)) return;
  const char* what = S_ISDIR(info.st_mode)    ? "a folder"
                     : S_ISFIFO(info.st_mode) ? "a pipe"
                                              : "a device";
  throw Failure("file_unreadable", shown(path) + ": is " + what + ", expected a file");
}

std::string read_at(const std::string& path, int fd, std::size_t length, std::uint64_t at) {
  std::string bytes(length, '\0');
  const ssize_t got = ::pread(fd, bytes.data(), length, static_cast<off_t>(at));
  if (got < 0) {
    throw Failure("file_unreadable", shown(path) + ": cannot be read: " + std::strerror(errno),
                  kWaitingMayHelp);
  }
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

std::string megabytes(std::uint64_t bytes) {
  return std::to_string((bytes + (1U << 20) - 1) >> 20) + " MiB";
}

}  // namespace

std::string shown(const std::string& path) {
  const auto slash = path.rfind('/');
  std::string name = slash == path.npos ? path : path.substr(slash + 1);
  if (name.size() > 100) {
    std::size_t end = 100;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
    name.resize(end);
  }
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; }, '?');
  return name.empty() ? "the file" : name;
}

Descriptor open_file(const std::string& path) {
  // Without O_NONBLOCK a pipe that nobody writes to would stop us here.
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!fd) refuse_open(path, errno);
  return fd;
}

SourceFile open_source(const std::string& path, std::uint64_t max_bytes) {
  return examine(open_file(path), path, max_bytes);
}

SourceFile examine(Descriptor fd, const std::string& path, std::uint64_t max_bytes) {
  SourceFile file;
  file.fd = std::move(fd);
  struct stat info {};
  if (::fstat(file.fd.get(), &info) != 0) refuse_open(path, errno);
  check_kind(path, info);
  file.size = static_cast<std::uint64_t>(info.st_size);
  if (file.size == 0) throw Failure("file_empty", shown(path) + ": the file is empty");
  if (file.size > max_bytes) {
    throw Failure("file_too_large", shown(path) + ": has " + megabytes(file.size) + ", at most " +
                                        megabytes(max_bytes) + " are taken");
  }
  const std::string head = read_at(path, file.fd.get(), 64, 0);
  const auto format = sniff(head);
  if (!format) {
    throw Failure("not_an_image", shown(path) + ": looks like " + describe(head) +
                                      ", expected a JPEG, PNG or WebP picture");
  }
  file.format = *format;
  const std::uint64_t tail_at = file.size > kTail ? file.size - kTail : 0;
  const std::string tail = read_at(path, file.fd.get(), kTail, tail_at);
  file.complete = !ends_early(*format, head, tail, file.size);
  return file;
}

}  // namespace rowcrew::image
