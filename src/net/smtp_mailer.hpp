// Mailer that hands every mail to a relay by SMTP.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <rowcrew/mailer.hpp>
#include "net/egress_guard.hpp"

namespace rowcrew {

enum class SmtpTls {
  required,       ///< no STARTTLS, no mail; smtps: is TLS from the first byte
  opportunistic,  ///< in clear when the relay offers no STARTTLS
  off,
};

struct SmtpOptions {
  SmtpOptions(std::string relay_url, std::string ehlo_name)
      : url(std::move(relay_url)), ehlo(std::move(ehlo_name)) {}

  std::string url;   ///< "smtp://relay.example:587" or "smtps://relay.example", nothing behind it
  std::string ehlo;  ///< how we introduce ourselves: a domain name or an address literal
  std::string user;  ///< empty: no login
  std::string password;
  SmtpTls tls = SmtpTls::required;
  std::string ca_file;  ///< roots to trust instead of the system's; empty: the system's
  std::chrono::milliseconds timeout{std::chrono::seconds{60}};  ///< at most, whatever a mail says
  unsigned connections = 4;  ///< conversations at once, with a thread each
};

/// One connection per mail, closed with QUIT: nothing of one mail can touch another, no connection
/// in clear is ever taken for an encrypted one, and none goes stale. TLS 1.2 or newer, certificates
/// verified; the guard judges the resolved address of the relay.
///
/// On threads of its own, as libcurl blocks until the relay has answered to a message, even on the
/// multi interface. The object belongs to the event thread; its end breaks off what is in flight.
class SmtpMailer final : public Mailer {
 public:
  /// The options are sound: make_mailer() checks them.
  SmtpMailer(boost::asio::any_io_executor executor, EgressGuard guard, SmtpOptions options);
  ~SmtpMailer() override;

  /// As Mailer::send(). A mail beyond `connections` waits first, outside its timeout. A connection
  /// that breaks after the message was sent is "mail_connect" or "mail_timeout": the relay may have
  /// accepted it, and a repetition carries the same Message-ID.
  boost::asio::awaitable<MailReceipt> send(Mail mail) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace rowcrew
