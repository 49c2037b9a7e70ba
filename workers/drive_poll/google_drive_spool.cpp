#include "google_drive_spool.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <ctime>
#include <memory>
#include <string_view>
#include <system_error>

#include <rowcrew/digest.hpp>
#include <rowcrew/error.hpp>

namespace rowcrew::drive_poll {
namespace asio = boost::asio;
namespace {

[[noreturn]] void fail(const std::string& path, int error) {
  throw TransientError("drive_spool", fmt::format("drive_poll: file \"{}\" cannot be kept: {}", path,
                                                  std::generic_category().message(error)));
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

FileDigests digests_of(const Descriptor& file, const std::string& path) {
  try {
    return rowcrew::digests_of(file.get());
  } catch (const std::system_error& error) {
    fail(path, error.code().value());
  }
}

std::string find_now(const std::string& path) {
  const Descriptor file(path, O_RDONLY | O_NOFOLLOW);
  if (file.get() < 0 && errno == ENOENT) return "";
  if (file.get() < 0) fail(path, errno);
  return digests_of(file, path).sha256;
}

std::string keep_now(const std::string& folder, const std::string& part, const std::string& path, const std::string& wanted_md5) {
  const Descriptor file(part, O_RDWR | O_NOFOLLOW);
  if (file.get() < 0) fail(part, errno);
  const FileDigests digests = digests_of(file, part);
  if (digests.md5 != wanted_md5) {
    ::unlink(part.c_str());
    return "";
  }
  // A name that survives a power cut must not outlive its bytes: the application was told that they are here.
  if (::fsync(file.get()) != 0) fail(part, errno);
  if (::rename(part.c_str(), path.c_str()) != 0) fail(path, errno);
  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY);
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) fail(folder, errno);
  return digests.sha256;
}

bool is_part(std::string_view name) {
  return name.starts_with('.') && name.ends_with(".part");
}

void sweep_now(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), &::closedir);
  if (!listing) return;  // the first download will tell
  const auto oldest = ::time(nullptr) - std::chrono::seconds(GoogleSpool::kOldest).count();
  while (const dirent* entry = ::readdir(listing.get())) {
    struct stat found {};
    const int at = ::dirfd(listing.get());
    if (!is_part(entry->d_name) || ::fstatat(at, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (found.st_mtime < oldest) ::unlinkat(at, entry->d_name, 0);
  }
}

/// What a piece of work came to, on its way from thread to thread.
struct Done {
  Done() = default;
  std::exception_ptr error;
  std::string text;
};

Done attempt(const std::function<std::string()>& work) {
  Done done;
  try {
    done.text = work();
  } catch (...) {
    done.error = std::current_exception();
  }
  return done;
}

}  // namespace

GoogleSpool::~GoogleSpool() {
  thread_.stop();
  thread_.join();
}

std::string GoogleSpool::path_of(const std::string& owner, const DriveFile& file, const std::string& extension) const {
  return fmt::format("{}/{}-{}.{}", folder_, sha256_hex(owner).substr(0, 12), file.version(), extension);
}

std::string GoogleSpool::part_of(const std::string& path) const {
  const auto slash = path.rfind('/');
  return fmt::format("{}.{}.{}.part", path.substr(0, slash + 1), path.substr(slash + 1), tag_);
}

void GoogleSpool::clear(const std::string& part) {
  if (::unlink(part.c_str()) != 0 && errno != ENOENT) fail(part, errno);
}

asio::awaitable<void> GoogleSpool::sweep() {
  auto work = [folder = folder_] {
    sweep_now(folder);
    return std::string();
  };
  std::function<std::string()> job(std::move(work));
  co_await on_thread(std::move(job));
}

asio::awaitable<std::string> GoogleSpool::find(std::string path) {
  auto work = [path] { return find_now(path); };
  std::function<std::string()> job(std::move(work));
  co_return co_await on_thread(std::move(job));
}

asio::awaitable<std::string> GoogleSpool::keep(std::string path, DriveFile file) {
  auto work = [folder = folder_, part = part_of(path), path, md5 = file.md5] { return keep_now(folder, part, path, md5); };
  std::function<std::string()> job(std::move(work));
  co_return co_await on_thread(std::move(job));
}

// The waiting coroutine holds no cancellation slot here: it resumes when the thread is done.
asio::awaitable<std::string> GoogleSpool::on_thread(std::function<std::string()> work) {
  auto executor = co_await asio::this_coro::executor;
  auto initiate = [this, executor](auto handler, std::function<std::string()> task) {
    auto run = [handler = std::move(handler), guard = asio::make_work_guard(executor), task = std::move(task)]() mutable {
      auto resume = [handler = std::move(handler), done = attempt(task)]() mutable {
        std::move(handler)(done.error, std::move(done.text));
      };
      asio::post(guard.get_executor(), std::move(resume));
    };
    asio::post(thread_, std::move(run));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr, std::string)>(
      std::move(initiate), asio::use_awaitable, std::move(work));
}

}  // namespace rowcrew::drive_poll
