#include "google_drive_spool.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
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

std::string keep_now(const std::string& folder, const std::string& path, const std::string& wanted_md5) {
  const std::string part = GoogleSpool::part_of(path);
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

std::string GoogleSpool::part_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return path.substr(0, slash + 1) + "." + path.substr(slash + 1) + ".part";
}

void GoogleSpool::clear(const std::string& part) {
  if (::unlink(part.c_str()) != 0 && errno != ENOENT) fail(part, errno);
}

asio::awaitable<std::string> GoogleSpool::find(std::string path) {
  auto work = [path] { return find_now(path); };
  std::function<std::string()> job(std::move(work));
  co_return co_await on_thread(std::move(job));
}

asio::awaitable<std::string> GoogleSpool::keep(std::string path, DriveFile file) {
  auto work = [folder = folder_, path, md5 = file.md5] { return keep_now(folder, path, md5); };
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
