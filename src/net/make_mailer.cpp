#include "net/make_mailer.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <rowcrew/error.hpp>
#include <string_view>
#include <utility>

#include "net/maildir_mailer.hpp"
#include "net/smtp_mailer.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

[[noreturn]] void refuse(const std::string& subject, std::string_view sentence) {
  throw ConfigError(fmt::format("{}: {}", subject, sentence));
}

/// One part of a URL; empty when it is not there.
std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  std::string copy = text;
  curl_free(text);
  return copy;
}

std::string read_url(const Settings& mail) {
  const std::string subject = mail.full("url");
  std::string text = mail.text("url");
  const std::unique_ptr<CURLU, void (*)(CURLU*)> url(curl_url(), &curl_url_cleanup);
  const std::string_view expected = "expected smtp://host:port or smtps://host:port";
  const bool parsed =
      url && curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) == CURLUE_OK &&
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!parsed) refuse(subject, fmt::format("is no URL, {}", expected));
  const std::string scheme = part_of(url.get(), CURLUPART_SCHEME);
  if (scheme != "smtp" && scheme != "smtps") refuse(subject, expected);
  if (!part_of(url.get(), CURLUPART_USER).empty() ||
      !part_of(url.get(), CURLUPART_PASSWORD).empty()) {
    refuse(subject, "carries credentials, which belong into mail.user and mail.password");
  }
  if (text.ends_with('/')) text.pop_back();
  const auto host_at = text.find("://") + 3;
  if (text.find_first_of("/?#", host_at) != text.npos) {
    refuse(subject, fmt::format("has something behind the host, {}", expected));
  }
  return text;
}

std::string read_ehlo(const Settings& mail) {
  std::array<char, 256> host{};
  const bool named = ::gethostname(host.data(), host.size() - 1) == 0 && host[0] != '\0';
  std::string name = mail.text("ehlo", named ? host.data() : "localhost");
  static constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.[]:";
  if (name.empty() || name.find_first_not_of(kAllowed) != name.npos) {
    refuse(mail.full("ehlo"), "is no host name, expected letters, digits, - and .");
  }
  return name;
}

SmtpTls read_tls(const Settings& mail) {
  const std::string word = mail.choice("tls", "required", {"required", "opportunistic", "off"});
  if (word == "required") return SmtpTls::required;
  return word == "off" ? SmtpTls::off : SmtpTls::opportunistic;
}

void read_login(const Settings& mail, SmtpOptions& options) {
  options.user = mail.text("user", "");
  const auto password = mail.secret("password");
  if (options.user.empty() != !password) {
    refuse(mail.full(options.user.empty() ? "user" : "password"),
           "is missing, expected both user and password or neither");
  }
  options.password = password.value_or("");
  // Off is a choice; a relay that stops offering TLS must not be a way to read the password.
  if (!options.user.empty() && options.tls == SmtpTls::opportunistic) {
    refuse(mail.full("tls"),
           "opportunistic would send the password in clear to a relay that "
           "offers no TLS, expected required");
  }
}

SmtpOptions read_smtp(const Settings& mail) {
  std::string url = read_url(mail);
  SmtpOptions options(std::move(url), read_ehlo(mail));
  options.tls = read_tls(mail);
  if (options.url.starts_with("smtps:") && options.tls != SmtpTls::required) {
    refuse(mail.full("tls"), "the scheme smtps is TLS, expected required");
  }
  read_login(mail, options);
  options.ca_file = mail.text("ca_file", "");
  options.timeout = mail.duration("timeout", 60s, 1s, 15min);
  options.connections = static_cast<unsigned>(mail.integer("connections", 4, 1, 64));
  return options;
}

std::string read_directory(const Settings& mail) {
  const std::string directory = mail.text("maildir", "mail");
  if (directory.empty()) refuse(mail.full("maildir"), "is empty, expected the path of a directory");
  return directory;
}

}  // namespace

std::unique_ptr<Mailer> make_mailer(boost::asio::any_io_executor executor, const Settings& mail,
                                    EgressGuard guard) {
  if (mail.choice("transport", "maildir", {"maildir", "smtp"}) == "maildir") {
    return std::make_unique<MaildirMailer>(std::move(executor), read_directory(mail));
  }
  return std::make_unique<SmtpMailer>(std::move(executor), std::move(guard), read_smtp(mail));
}

}  // namespace rowcrew
