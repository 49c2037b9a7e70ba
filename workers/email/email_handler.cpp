#include "email_handler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/clock.hpp>
#include <rowcrew/db.hpp>
#include <rowcrew/deps.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/fault.hpp>
#include <rowcrew/ports.hpp>
#include <rowcrew/registry.hpp>
#include <rowcrew/settings.hpp>

#include "sql/email.hpp"

namespace rowcrew::email {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr const char* kDefaultTemplates = "/etc/rowcrew/mail";

Mailbox read_from(const Settings& email) {
  const std::string text = email.text("from", "rowcrew <noreply@localhost.example>");
  try {
    return parse_mailbox(text);
  } catch (const PermanentError& e) {
    throw ConfigError(fmt::format("{}: {}", email.full("from"), e.what()));
  }
}

std::string read_domain(const Settings& email, const Mailbox& from) {
  std::string domain = email.text("domain", from.address.substr(from.address.find('@') + 1));
  if (!is_domain(domain)) {
    throw ConfigError(email.full("domain") +
                      ": is no domain, expected one of yours such as example.com");
  }
  return domain;
}

/// Absent is NULL.
std::optional<std::string> or_null(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

EmailConfig::EmailConfig(const Settings& email)
    : from(read_from(email)),
      domain(read_domain(email, from)),
      templates(email.text("templates", kDefaultTemplates)),
      templates_optional(templates == kDefaultTemplates) {}

EmailHandler::EmailHandler(const Deps& deps)
    : db_(deps.db),
      ports_(deps.ports),
      mailer_(deps.mail),
      clock_(deps.clock),
      config_(deps.kinds.section("email")),
      templates_(config_.templates, config_.templates_optional) {}

boost::asio::awaitable<bool> EmailHandler::allowed(const Job& job, const Order& order) {
  if (!order.account) co_return true;
  const Statement statement = ports_.bind(sql::allowed, job.app);
  Params params;
  params.add(*order.account).add(order.template_name);
  const Rows rows = co_await db_.query(statement, std::move(params));
  co_return rows.boolean(0, 0);
}

boost::asio::awaitable<EmailHandler::Recorded> EmailHandler::record(const JobContext& context,
                                                                    const Order& order,
                                                                    const char* status) {
  Params params;
  params.add(context.job().id).add(or_null(context.job().app)).add(order.account);
  params.add(order.to.address).add(order.template_name);
  params.add(context.idempotency_key()).add(config_.domain).add(status).add(context.job().table);
  const Rows rows = co_await db_.query(sql::record, std::move(params));
  Recorded recorded;
  recorded.message_id = rows.text(0, 0);
  recorded.date = std::chrono::sys_seconds(std::chrono::seconds(rows.integer(0, 1)));
  co_return recorded;
}

Mail EmailHandler::make_mail(const JobContext& context, Order order, Content content,
                             const Recorded& recorded) const {
  Letter letter;
  letter.from = config_.from;
  letter.to = std::move(order.to);
  letter.content = std::move(content);
  letter.message_id = recorded.message_id;
  letter.date = recorded.date;
  Mail mail(letter.from.address, letter.to.address, build_message(letter));
  mail.key = recorded.message_id.substr(0, recorded.message_id.find('@'));
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(context.deadline() - clock_.mono());
  mail.timeout = std::max(left, 1ms);  // the mailer has a limit of its own
  return mail;
}

boost::asio::awaitable<Outcome> EmailHandler::run(JobContext& context) {
  Order order = parse_order(context.payload());
  templates_.check_known(order.template_name);
  const bool wanted = co_await allowed(context.job(), order);
  if (!wanted) {
    co_await record(context, order, "suppressed");
    co_return Cancelled("The account has switched off mails of this kind: " + order.template_name);
  }
  Content content = templates_.render(order.template_name, order.data);
  const Recorded recorded = co_await record(context, order, "sending");
  Mail mail = make_mail(context, std::move(order), std::move(content), recorded);
  ROWCREW_FAULT_POINT("email.sending");
  const MailReceipt receipt = co_await mailer_.send(std::move(mail));
  ROWCREW_FAULT_POINT("email.sent");
  json result;
  result["message_id"] = recorded.message_id;
  result["transport"] = receipt.transport;
  co_return Completed(result.dump());
}

}  // namespace rowcrew::email

namespace rowcrew {

void register_email(Registry& registry, Deps& deps) {
  registry.add("email", std::make_unique<email::EmailHandler>(deps));
}

}  // namespace rowcrew
