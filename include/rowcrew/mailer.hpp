// Outgoing mail: one message, one recipient, bytes that were built before.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <string>
#include <utility>

namespace rowcrew {

struct Mail {
  Mail(std::string from, std::string to, std::string bytes)
      : sender(std::move(from)), recipient(std::move(to)), message(std::move(bytes)) {}

  std::string sender;     ///< envelope sender, addr-spec without angle brackets
  std::string recipient;  ///< envelope recipient, exactly one
  std::string message;    ///< RFC 5322: headers, blank line, body; lines end in CR LF, 7 bit
  /// The same for every attempt at this mail: names the file of a Maildir, so that a repeated
  /// delivery replaces it. Letters, digits, "-", "_" and "." only.
  std::string key;
  /// From the connection to the last reply. Clip it to what is left of the job's deadline.
  std::chrono::milliseconds timeout{std::chrono::seconds{60}};
};

struct MailReceipt {
  MailReceipt() = default;
  std::string transport;  ///< "maildir" or "smtp"
  std::string reply;      ///< last reply line of the server, at most 500 bytes; Maildir: the file's path
};

class Mailer {
 public:
  virtual ~Mailer() = default;

  /// Hands the mail over: when this returns, the relay has accepted it, or the file is on disk under
  /// its final name. Event thread only.
  ///
  /// Throws TransientError ("mail_connect", "mail_timeout", "mail_tls", "mail_busy": a 4yz reply,
  /// "mail_login": the relay refuses our credentials, which an operator can mend, "mail_disk_full",
  /// "mail_store": the Maildir cannot be written); PermanentError ("mail_address": a control
  /// character or no address, "mail_refused": a 5yz reply, with code and text, "egress_refused");
  /// boost::system::system_error (operation_aborted) when cancelled.
  virtual boost::asio::awaitable<MailReceipt> send(Mail mail) = 0;
};

}  // namespace rowcrew
