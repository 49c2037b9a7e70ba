// Kind `email`: one templated mail to one person.
#pragma once

#include <string>

#include <rowcrew/handler.hpp>
#include <rowcrew/mailer.hpp>

#include "mail_templates.hpp"
#include "payload.hpp"

namespace rowcrew {
class Clock;
class Db;
class Ports;
class Registry;
class Settings;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::email {

/// Section kinds.email.
struct EmailConfig {
  /// Throws ConfigError.
  explicit EmailConfig(const Settings& email);

  Mailbox from;
  std::string domain;  ///< of Message-IDs; one that is ours
  std::string templates;
  bool templates_optional;  ///< nobody named the directory: it may be missing
};

class EmailHandler final : public Handler {
 public:
  /// Reads kinds.email and the templates. Throws ConfigError.
  explicit EmailHandler(const Deps& deps);

  /// Throws PermanentError ("bad_payload", "bad_address", "unknown_template", "template_data",
  /// "bad_header") and what Mailer::send and the database throw. Cancelled: the account does not
  /// want this mail.
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  /// What the ledger fixed at the first attempt.
  struct Recorded {
    std::string message_id;
    std::chrono::sys_seconds date;
  };

  boost::asio::awaitable<bool> allowed(const Job& job, const Order& order);
  boost::asio::awaitable<Recorded> record(const JobContext& context, const Order& order,
                                          const char* status);
  Mail make_mail(const JobContext& context, Order order, Content content,
                 const Recorded& recorded) const;

  Db& db_;
  Ports& ports_;
  Mailer& mailer_;
  const Clock& clock_;
  EmailConfig config_;
  MailTemplates templates_;
};

}  // namespace rowcrew::email

namespace rowcrew {

void register_email(Registry& registry, Deps& deps);

}  // namespace rowcrew
