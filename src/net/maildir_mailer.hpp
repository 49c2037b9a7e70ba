// Mailer that leaves every mail as a file: for development, tests and sites without a relay.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <string>

#include <rowcrew/mailer.hpp>

namespace rowcrew {

/// A Maildir: <directory>/new/<mail.key> holds the message's bytes, complete and on disk when
/// send() returns. A repeated delivery replaces that file; one that a reader has moved to cur/
/// stays as it is. The directories are made at the first delivery, for this user only (0700).
///
/// Every delivery lists cur/: empty it now and then. Files are written on a thread of its own, one
/// after the other; the object itself belongs to the event thread. Its end waits for the delivery
/// that is being written and drops those behind it.
class MaildirMailer final : public Mailer {
 public:
  MaildirMailer(boost::asio::any_io_executor executor, std::string directory);
  ~MaildirMailer() override;

  /// Throws what Mailer::send() says: "mail_address", "mail_disk_full" (no space, or over quota),
  /// "mail_store" with the path and the system's reason; BugError("mail_key") for a key that names
  /// no file. Mail::timeout is not used: a cancelled caller resumes when the file is complete.
  boost::asio::awaitable<MailReceipt> send(Mail mail) override;

 private:
  boost::asio::any_io_executor executor_;
  std::string directory_;
  boost::asio::thread_pool thread_{1};
};

}  // namespace rowcrew
