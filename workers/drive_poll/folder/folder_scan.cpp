#include "folder_scan.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <system_error>

#include "folder_text.hpp"
#include "oldest.hpp"
#include "sha256.hpp"

namespace rowcrew::folder {
namespace {

using namespace std::chrono;

// Young files that are remembered for the second look; further ones wait for the next poll.
constexpr std::size_t kMostYoung = 10'000;
constexpr std::size_t kPiece = std::size_t{256} << 10;

struct Closer {
  explicit Closer(int descriptor) : fd(descriptor) {}
  ~Closer() {
    if (fd >= 0) ::close(fd);
  }
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;
  int fd;
};

std::int64_t nanoseconds_of(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

Version version_of(const struct stat& status) {
  Version version;
  version.device = status.st_dev;
  version.inode = status.st_ino;
  version.size = static_cast<std::uint64_t>(status.st_size);
  version.mtime_ns = nanoseconds_of(status.st_mtim);
  return version;
}

/// The name's version, if it is a regular file.
std::optional<Version> look_at(int folder, const std::string& name) {
  struct stat status {};
  if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  if (!S_ISREG(status.st_mode)) return std::nullopt;
  return version_of(status);
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

bool is_wanted(const Request& request, const std::string& name) {
  const auto dot = name.rfind('.');
  if (name.front() == '.' || dot == name.npos) return false;
  const std::string extension = lower(name.substr(dot + 1));
  return extension != "part" && std::find(request.extensions.begin(), request.extensions.end(),
                                          extension) != request.extensions.end();
}

[[noreturn]] void refuse_folder(int error) {
  if (error == ENOENT) throw FolderError("folder_missing", "The watched folder does not exist.");
  if (error == ENOTDIR) throw FolderError("not_a_folder", "The watched path is not a folder.");
  if (error == EACCES || error == EPERM) {
    throw FolderError("folder_unreadable",
                      "The watched folder may not be read. Check its permissions.");
  }
  throw FolderError("folder_unreadable", "The watched folder cannot be read: " +
                                             std::system_category().message(error) + ".");
}

class Scan {
 public:
  explicit Scan(const Request& request)
      : request_(request),
        oldest_(request.max_files),
        problems_(request.max_files),
        began_(steady_clock::now()) {}

  Report run() {
    const Closer folder(::open(request_.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.fd < 0) refuse_folder(errno);
    folder_ = folder.fd;
    list();
    if (!young_.empty()) look_again();
    for (Candidate& candidate : oldest_.take()) take(std::move(candidate));
    for (Candidate& candidate : problems_.take()) take(std::move(candidate));
    report_.more = report_.more || oldest_.overflow();
    return std::move(report_);
  }

 private:
  void list();
  void sort_in(Candidate candidate, std::int64_t settled_before);
  void look_again();
  void offer(Candidate candidate);
  std::string problem_of(const Candidate& candidate) const;
  void take(Candidate candidate);
  void read(Found& found);
  std::string hash(int file, const Version& version) const;
  bool may_begin(const Version& version);

  const Request& request_;
  Oldest oldest_;
  Oldest problems_;  ///< apart: many old ones, told at every poll, must not hide what is new
  std::vector<Candidate> young_;
  Report report_;
  steady_clock::time_point began_;
  std::uint64_t read_ = 0;
  int folder_ = -1;
};

void Scan::list() {
  const int copy = ::fcntl(folder_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) refuse_folder(errno);
  DIR* const entries = ::fdopendir(copy);
  if (entries == nullptr) {
    const int error = errno;
    ::close(copy);
    refuse_folder(error);
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(entries, ::closedir);
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t settled_before =
      nanoseconds_of(now) - duration_cast<nanoseconds>(request_.settle).count();
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(entries);
    if (entry == nullptr && errno != 0) refuse_folder(errno);
    if (entry == nullptr) return;
    Candidate candidate;
    candidate.name = entry->d_name;
    if (!is_wanted(request_, candidate.name)) continue;
    const std::optional<Version> version = look_at(folder_, candidate.name);
    if (!version || request_.known.contains(*version)) continue;
    candidate.version = *version;
    sort_in(std::move(candidate), settled_before);
  }
}

// A time in the future, as another machine's clock makes it, settles nothing: such a file gets the
// second look.
void Scan::sort_in(Candidate candidate, std::int64_t settled_before) {
  if (candidate.version.mtime_ns <= settled_before) {
    offer(std::move(candidate));
  } else if (young_.size() < kMostYoung) {
    young_.push_back(std::move(candidate));
  } else {
    ++report_.young;
  }
}

// Once, after the whole time: what has not changed in it is settled.
void Scan::look_again() {
  const auto until = steady_clock::now() + request_.settle;
  for (auto left = request_.settle; left.count() > 0;
       left = ceil<milliseconds>(until - steady_clock::now())) {
    ::poll(nullptr, 0, static_cast<int>(left.count()));
  }
  for (Candidate& candidate : young_) {
    const std::optional<Version> version = look_at(folder_, candidate.name);
    if (!version) continue;  // gone, or replaced by something else
    if (*version == candidate.version) {
      offer(std::move(candidate));
    } else {
      ++report_.young;
    }
  }
}

void Scan::offer(Candidate candidate) {
  candidate.problem = problem_of(candidate);
  (candidate.problem.empty() ? oldest_ : problems_).offer(std::move(candidate));
}

std::string Scan::problem_of(const Candidate& candidate) const {
  if (!is_utf8(candidate.name)) return "file_name";
  if (candidate.version.size > request_.max_bytes) return "file_too_large";
  const bool refused = ::faccessat(folder_, candidate.name.c_str(), R_OK, AT_EACCESS) != 0 &&
                       (errno == EACCES || errno == EPERM);
  return refused ? "file_unreadable" : "";
}

bool Scan::may_begin(const Version& version) {
  const bool late =
      request_.max_time.count() > 0 && steady_clock::now() - began_ > request_.max_time;
  const std::uint64_t left = request_.max_bytes - std::min(read_, request_.max_bytes);
  return read_ == 0 || (!late && left > 0 && version.size <= left);
}

void Scan::take(Candidate candidate) {
  Found found;
  found.name = std::move(candidate.name);
  found.version = candidate.version;
  found.problem = std::move(candidate.problem);
  if (!found.problem.empty()) {
    report_.files.push_back(std::move(found));
  } else if (may_begin(found.version)) {
    read(found);
  } else {
    report_.more = true;
  }
}

void Scan::read(Found& found) {
  const Closer file(::openat(folder_, found.name.c_str(),
                             O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  const int error = file.fd < 0 ? errno : 0;
  if (error == ENOENT || error == ELOOP) return;  // gone, or replaced by a link
  if (error == EACCES || error == EPERM) {
    found.problem = "file_unreadable";  // what a server forbids shows only now
  } else if (error == 0) {
    read_ += std::max<std::uint64_t>(found.version.size, 1);
    found.sha256 = hash(file.fd, found.version);
  }
  if (found.problem.empty() && found.sha256.empty()) {
    ++report_.young;  // it changed, or the trouble may pass
  } else {
    report_.files.push_back(std::move(found));
  }
}

// Empty when the file is not, or does not stay, the version that was seen.
std::string Scan::hash(int file, const Version& version) const {
  const auto is_same = [&] {
    struct stat status {};
    return ::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && version_of(status) == version;
  };
  if (!is_same()) return {};
  ::posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 sum;
  std::vector<char> piece(kPiece);
  std::uint64_t left = version.size;
  while (left > 0) {
    const ssize_t size = ::read(file, piece.data(), std::min<std::uint64_t>(piece.size(), left));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return {};
    sum.add(piece.data(), static_cast<std::size_t>(size));
    left -= static_cast<std::uint64_t>(size);
  }
  return is_same() ? sum.hex() : std::string();
}

}  // namespace

std::size_t VersionHash::operator()(const Version& version) const {
  std::uint64_t mixed = version.inode * 0x9e3779b97f4a7c15ULL;
  mixed ^= (version.device + (mixed << 6)) * 0xbf58476d1ce4e5b9ULL;
  mixed ^= (static_cast<std::uint64_t>(version.mtime_ns) + (mixed >> 7)) * 0x94d049bb133111ebULL;
  return mixed ^ version.size;
}

Report scan(const Request& request) {
  return Scan(request).run();
}

}  // namespace rowcrew::folder
