#include "net/maildir_mailer.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <memory>
#include <rowcrew/error.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "net/mail_rules.hpp"

namespace rowcrew {
namespace asio = boost::asio;

namespace {

constexpr mode_t kDirectoryMode = 0700;
constexpr mode_t kFileMode = 0600;

[[noreturn]] void fail(const std::string& path, int reason) {
  const std::string sentence =
      fmt::format("mail: {}: {}", path, std::generic_category().message(reason));
  if (reason == ENOSPC || reason == EDQUOT) throw TransientError("mail_disk_full", sentence);
  throw TransientError("mail_store", sentence);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  /// Network file systems tell of a full disk here.
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

/// Takes a half-written file away again.
class Unfinished {
 public:
  explicit Unfinished(std::string path) : path_(std::move(path)) {}
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  ~Unfinished() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  void finished() { path_.clear(); }

 private:
  std::string path_;
};

void make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), kDirectoryMode) == 0 || errno == EEXIST) return;
  const int reason = errno;
  const auto slash = path.find_last_of('/');
  if (reason != ENOENT || slash == path.npos || slash == 0) fail(path, reason);
  make_directory(path.substr(0, slash));
  if (::mkdir(path.c_str(), kDirectoryMode) != 0 && errno != EEXIST) fail(path, errno);
}

/// The file in cur/ that a reader made of `key`, or an empty string: there it is called
/// "<key>:2,<flags>".
std::string find_read(const std::string& directory, const std::string& key) {
  const std::string path = directory + "/cur";
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(path.c_str()), &::closedir);
  if (!listing) fail(path, errno);
  for (errno = 0; const dirent* entry = ::readdir(listing.get());) {
    const std::string_view name = entry->d_name;
    if (name == key || (name.starts_with(key) && name[key.size()] == ':')) {
      return path + "/" + std::string(name);
    }
  }
  if (errno != 0) fail(path, errno);
  return {};
}

void write_file(const std::string& path, std::string_view bytes) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kFileMode));
  if (file.get() < 0) fail(path, errno);
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(file.get()) != 0 || !file.close()) fail(path, errno);
}

/// A new name is on disk only when its directory is.
void sync_directory(const std::string& path) {
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) fail(path, errno);
}

/// Blocking. Returns the path of the file that now holds the mail.
std::string deliver(const std::string& directory, const std::string& key,
                    std::string_view message) {
  for (const char* part : {"", "/tmp", "/new", "/cur"}) make_directory(directory + part);
  if (std::string read = find_read(directory, key); !read.empty()) return read;
  // The process's number: two nodes may deliver into one Maildir.
  const std::string draft = fmt::format("{}/tmp/{}.{}", directory, key, ::getpid());
  const std::string path = fmt::format("{}/new/{}", directory, key);
  Unfinished unfinished(draft);
  write_file(draft, message);
  if (::rename(draft.c_str(), path.c_str()) != 0) fail(path, errno);
  unfinished.finished();
  sync_directory(directory + "/new");
  return path;
}

struct Delivered {
  Delivered() = default;
  std::exception_ptr error;
  std::string path;
};

Delivered try_deliver(const std::string& directory, const Mail& mail) {
  Delivered result;
  try {
    result.path = deliver(directory, mail.key, mail.message);
  } catch (...) {
    result.error = std::current_exception();  // rethrown where the caller awaits
  }
  return result;
}

}  // namespace

MaildirMailer::MaildirMailer(asio::any_io_executor executor, std::string directory)
    : executor_(std::move(executor)), directory_(std::move(directory)) {
  while (directory_.size() > 1 && directory_.back() == '/') directory_.pop_back();
}

MaildirMailer::~MaildirMailer() {
  thread_.stop();
  thread_.join();
}

asio::awaitable<MailReceipt> MaildirMailer::send(Mail mail) {
  check_mail(mail);
  // The waiting coroutine holds no cancellation slot here: it resumes when the thread is done.
  auto initiate = [this](auto handler, Mail message) {
    auto work = [handler = std::move(handler), guard = asio::make_work_guard(executor_),
                 directory = directory_, message = std::move(message)]() mutable {
      auto resume = [handler = std::move(handler),
                     result = try_deliver(directory, message)]() mutable {
        std::move(handler)(result.error, std::move(result.path));
      };
      asio::post(guard.get_executor(), std::move(resume));
    };
    asio::post(thread_, std::move(work));
  };
  MailReceipt receipt;
  receipt.transport = "maildir";
  receipt.reply = co_await asio::async_initiate<const asio::use_awaitable_t<>&,
                                                void(std::exception_ptr, std::string)>(
      std::move(initiate), asio::use_awaitable, std::move(mail));
  co_return receipt;
}

}  // namespace rowcrew
