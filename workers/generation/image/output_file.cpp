#include "output_file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>

#include "failure.hpp"
#include "source_file.hpp"

namespace rowcrew::image {
namespace {

using namespace std::string_view_literals;

// For the signal handler; empty: nothing to remove.
char doomed_part[PATH_MAX];

void remove_part_and_die(int signal) {
  if (doomed_part[0] != '\0') ::unlink(doomed_part);
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void arm_signals(const std::string& part) {
  std::memcpy(doomed_part, part.c_str(), part.size() + 1);
  static char stack[16384];  // for when the ordinary one cannot grow any more
  const stack_t alternate{stack, 0, sizeof stack};
  ::sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_handler = remove_part_and_die;
  action.sa_flags = SA_NODEFER | SA_RESETHAND | SA_ONSTACK;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGSEGV, SIGBUS, SIGABRT, SIGFPE,
                           SIGILL, SIGTRAP, SIGSYS}) {
    ::sigaction(signal, &action, nullptr);
  }
  ::signal(SIGXFSZ, SIG_IGN);  // writing too much is an error of write(), as a full disk is
}

std::string folder_of(const std::string& path) {
  return path.substr(0, path.rfind('/') + 1);
}
std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// A word without dots: the parts of a target "a.jpg.b" are none of "a.jpg".
bool is_part_of(std::string_view name, const std::string& target_name) {
  const std::string prefix = "." + target_name + ".";
  constexpr std::string_view suffix = ".part";
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return false;
  if (name.size() <= prefix.size() + suffix.size()) return false;
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; });
}

// "77" of ".a.jpg.77-answer.part".
std::string run_of(std::string_view part_name) {
  part_name.remove_suffix(std::min(part_name.size(), ".part"sv.size()));
  const std::string word = std::string(part_name.substr(part_name.rfind('.') + 1));
  return word.substr(0, word.find('-'));
}

[[noreturn]] void refuse_write(const std::string& target, int error) {
  const std::string file = shown(target);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      throw Failure("disk_full", file + ": there is no room for the finished picture",
                    kWaitingMayHelp);
    case ENOENT:
      throw Failure("output_unwritable",
                    file + ": the folder for the finished picture does not exist");
    case EACCES:
    case EPERM:
      throw Failure("output_unwritable", file + ": writing the finished picture is not permitted");
    case EISDIR:
    case ENOTEMPTY:
    case EEXIST:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
      throw Failure("output_unwritable",
                    file + ": the finished picture cannot have this name: " + std::strerror(error));
    default:
      throw Failure("output_unwritable",
                    file + ": the finished picture cannot be written: " + std::strerror(error),
                    kWaitingMayHelp);
  }
}

}  // namespace

void remove_parts_of(const std::string& target, const std::string& part) {
  const std::string folder = folder_of(target);
  const std::string name = name_of(target);
  const std::string own = name_of(part);
  const std::string run = run_of(own);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), ::closedir);
  if (!listing) return;
  while (const dirent* entry = ::readdir(listing.get())) {
    if (is_part_of(entry->d_name, name) && (part.empty() || entry->d_name == own || run_of(entry->d_name) != run)) ::unlink((folder + entry->d_name).c_str());
  }
}

OutputFile::OutputFile(std::string part, std::string target)
    : part_(std::move(part)), target_(std::move(target)) {
  if (part_.size() >= sizeof doomed_part || folder_of(part_) != folder_of(target_) ||
      !is_part_of(name_of(part_), name_of(target_))) {
    throw Failure("bad_request",
                  "part: is not of the form .<target>.<word>.part beside the target");
  }
  struct stat info {};
  if (::lstat(target_.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) refuse_write(target_, EISDIR);
  fd_ =
      Descriptor(::open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd_) refuse_write(target_, errno);
  arm_signals(part_);
}

OutputFile::~OutputFile() {
  doomed_part[0] = '\0';
  if (fd_) ::unlink(part_.c_str());
}

void OutputFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse_write(target_, errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(fd_.get()) != 0) refuse_write(target_, errno);
}

void OutputFile::keep() {
  doomed_part[0] = '\0';
  fd_ = Descriptor();
}

void OutputFile::publish() {
  // Whatever has this name now must be what we wrote: of two runs for one target the later wins.
  struct stat ours {};
  struct stat named {};
  if (::fstat(fd_.get(), &ours) != 0) refuse_write(target_, errno);
  if (::lstat(part_.c_str(), &named) != 0 || named.st_ino != ours.st_ino ||
      named.st_dev != ours.st_dev) {
    throw Failure("output_unwritable", shown(target_) + ": another run took this picture over",
                  kWaitingMayHelp);
  }
  if (::rename(part_.c_str(), target_.c_str()) != 0) {
    if (errno == ENOENT) {
      throw Failure("output_unwritable", shown(target_) + ": another run took this picture over",
                    kWaitingMayHelp);
    }
    refuse_write(target_, errno);
  }
  doomed_part[0] = '\0';
  fd_ = Descriptor();
  const Descriptor folder(::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) refuse_write(target_, errno);
}

}  // namespace rowcrew::image
