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
// What one file may take of the time in which files are begun, before others have their turn.
constexpr int kShares = 8;

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

/// A file that is being read, or was set aside while others are.
struct Reading {
  Reading(Found file, int descriptor)
      : found(std::move(file)), fd(descriptor), left(found.version.size) {}
  Found found;
  Closer fd;
  Sha256 sum;
  std::uint64_t left;
};

enum class Progress { done, changed, out_of_time };

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
    finish_slow();
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
  void begin(Found found);
  Progress read_on(Reading& reading, steady_clock::time_point until);
  void finish_slow();
  bool may_begin(const Version& version) const;

  const Request& request_;
  Oldest oldest_;
  Oldest problems_;  ///< apart: many old ones, told at every poll, must not hide what is new
  std::vector<Candidate> young_;
  Report report_;
  steady_clock::time_point began_;
  std::uint64_t read_ = 0;
  std::vector<std::unique_ptr<Reading>> slow_;
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

bool Scan::may_begin(const Version& version) const {
  const bool late =
      request_.max_time.count() > 0 && steady_clock::now() - began_ > request_.max_time;
  std::uint64_t left = request_.max_bytes - std::min(read_, request_.max_bytes);
  for (const auto& slow : slow_) left -= std::min(slow->left, left);
  return (read_ == 0 && slow_.empty()) || (!late && left > 0 && version.size <= left);
}

void Scan::take(Candidate candidate) {
  Found found;
  found.name = std::move(candidate.name);
  found.version = candidate.version;
  found.problem = std::move(candidate.problem);
  if (!found.problem.empty()) {
    report_.files.push_back(std::move(found));
  } else if (may_begin(found.version)) {
    begin(std::move(found));
  } else {
    report_.more = true;
  }
}

void Scan::begin(Found found) {
  const int file = ::openat(folder_, found.name.c_str(),
                            O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  const int error = file < 0 ? errno : 0;
  if (error == ENOENT || error == ELOOP) return;  // gone, or replaced by a link
  if (error == EACCES || error == EPERM) {
    found.problem = "file_unreadable";  // what a server forbids shows only now
    report_.files.push_back(std::move(found));
    return;
  }
  if (error != 0) {
    ++report_.young;  // the trouble may pass
    return;
  }
  auto reading = std::make_unique<Reading>(std::move(found), file);
  ::posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
  if (reading->left == 0) ++read_;
  const bool limited = request_.max_time.count() > 0;
  const auto until = steady_clock::now() + request_.max_time / kShares;
  const Progress progress =
      read_on(*reading, limited ? until : steady_clock::time_point::max());
  if (progress == Progress::out_of_time) slow_.push_back(std::move(reading));
}

// Changed when the file is not, or does not stay, the version that was seen. That is asked at every
// piece: of a file that grows, however old it calls itself, the rest need not be read.
Progress Scan::read_on(Reading& reading, steady_clock::time_point until) {
  const auto is_same = [&] {
    struct stat status {};
    return ::fstat(reading.fd.fd, &status) == 0 && S_ISREG(status.st_mode) &&
           version_of(status) == reading.found.version;
  };
  std::vector<char> piece(kPiece);
  while (is_same()) {
    if (reading.left == 0) {
      reading.found.sha256 = reading.sum.hex();
      report_.files.push_back(std::move(reading.found));
      return Progress::done;
    }
    if (steady_clock::now() > until) return Progress::out_of_time;
    const ssize_t size = ::read(reading.fd.fd, piece.data(),
                                std::min<std::uint64_t>(piece.size(), reading.left));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    reading.sum.add(piece.data(), static_cast<std::size_t>(size));
    reading.left -= static_cast<std::uint64_t>(size);
    read_ += static_cast<std::uint64_t>(size);
  }
  ++report_.young;  // it changed, or the trouble may pass
  return Progress::changed;
}

// Those that took longer than their share, the nearest to its end first, in what is left of the
// time but for an eighth, in which the report must get out. The first one has had three eighths at
// least: what does not end in them is told, or it would be begun in vain by every look.
void Scan::finish_slow() {
  const auto until = began_ + request_.max_time * 7 / 4;
  std::sort(slow_.begin(), slow_.end(),
            [](const auto& a, const auto& b) { return a->left < b->left; });
  for (auto& slow : slow_) {
    if (read_on(*slow, until) != Progress::out_of_time) continue;
    report_.more = report_.more || slow != slow_.front();
    if (slow != slow_.front()) continue;
    slow->found.problem = "file_slow";
    report_.files.push_back(std::move(slow->found));
  }
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
