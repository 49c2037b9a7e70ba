#include "net/transfer_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include <rowcrew/error.hpp>

namespace rowcrew {
namespace {

std::string words_of(int error) {
  return std::generic_category().message(error);
}

[[noreturn]] void refuse(const std::string& path, std::string_view what, std::string_view why) {
  throw PermanentError("http_file", fmt::format("http: file \"{}\" cannot be {}: {}", path, what, why));
}

int open_source(const std::string& path) {
  if (path.empty()) return -1;
  // A pipe would wait for its writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) refuse(path, "read", words_of(errno));
  return fd;
}

int make_target(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) refuse(path, "made", words_of(errno));
  return fd;
}

}  // namespace

bool OpenFile::close() {
  if (fd_ < 0) return true;
  const int fd = std::exchange(fd_, -1);
  return ::close(fd) == 0 || errno == EINTR;
}

RequestBody::RequestBody(const HttpRequest& request)
    : request_(request), file_(open_source(request.file)) {
  if (file_.fd() < 0) return;
  struct stat found {};
  if (::fstat(file_.fd(), &found) != 0) refuse(request.file, "read", words_of(errno));
  if (!S_ISREG(found.st_mode)) refuse(request.file, "read", "it is no regular file");
  file_bytes_ = static_cast<std::uint64_t>(found.st_size);
}

std::uint64_t RequestBody::size() const {
  return request_.body.size() + file_bytes_ + request_.tail.size();
}

std::optional<std::size_t> RequestBody::read(char* into, std::size_t room) {
  std::uint64_t from = at_;
  const auto text = [&](const std::string& part) {
    const auto bytes = std::min<std::size_t>(room, part.size() - from);
    std::memcpy(into, part.data() + from, bytes);
    at_ += bytes;
    return bytes;
  };
  if (from < request_.body.size()) return text(request_.body);
  from -= request_.body.size();
  if (from < file_bytes_) return read_file(into, room, from);
  from -= file_bytes_;
  return text(request_.tail);
}

std::optional<std::size_t> RequestBody::read_file(char* into, std::size_t room, std::uint64_t from) {
  const auto wanted = std::min<std::uint64_t>(room, file_bytes_ - from);
  ssize_t got = 0;
  do {
    got = ::pread(file_.fd(), into, wanted, static_cast<off_t>(from));
  } while (got < 0 && errno == EINTR);
  if (got <= 0) {
    trouble_ = fmt::format("file \"{}\" {}", request_.file,
                           got < 0 ? "could not be read on: " + words_of(errno) : "got shorter while it was sent");
    return std::nullopt;
  }
  at_ += static_cast<std::uint64_t>(got);
  return static_cast<std::size_t>(got);
}

AnswerFile::AnswerFile(const std::string& path) : path_(path), file_(make_target(path)) {}

AnswerFile::~AnswerFile() {
  if (!kept_) ::unlink(path_.c_str());
}

bool AnswerFile::append(const char* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t written = ::write(file_.fd(), data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed();
    data += written;
    bytes -= static_cast<std::size_t>(written);
  }
  return true;
}

bool AnswerFile::keep() {
  if (!file_.close()) return failed();
  kept_ = true;
  return true;
}

bool AnswerFile::failed() {
  trouble_ = fmt::format("file \"{}\" could not be written: {}", path_, words_of(errno));
  return false;
}

}  // namespace rowcrew
