#include "net/smtp_transfer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <cstring>
#include <rowcrew/error.hpp>

#include "net/mail_rules.hpp"

namespace rowcrew {

using namespace std::chrono_literals;

SmtpTransfer::SmtpTransfer(const EgressGuard& guard, const SmtpOptions& options, Mail mail)
    : options_(options),
      socket_(guard),
      mail_(std::move(mail)),
      timeout_(std::min(mail_.timeout, options.timeout)),
      url_(options.url + "/" + options.ehlo),  // libcurl takes the EHLO name from the path
      easy_(curl_easy_init()) {
  check_mail(mail_);
  if (!easy_) throw TransientError("mail_connect", "mail: no memory for another transfer");
  set_connection();
  set_tls();
  set_message();
  set(CURLOPT_HEADERFUNCTION, &SmtpTransfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_DEBUGFUNCTION, &SmtpTransfer::on_debug);
  set(CURLOPT_DEBUGDATA, this);
  set(CURLOPT_VERBOSE, 1L);  // calls on_debug, which alone sees the commands
  set(CURLOPT_XFERINFOFUNCTION, &SmtpTransfer::on_progress);
  set(CURLOPT_XFERINFODATA, this);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_ERRORBUFFER, error_.data());
}

template <class T>
void SmtpTransfer::set(CURLoption option, T value) {
  const CURLcode code = curl_easy_setopt(easy_.get(), option, value);
  if (code == CURLE_OUT_OF_MEMORY) {
    throw TransientError("mail_connect", "mail: no memory for another transfer");
  }
  if (code != CURLE_OK) {
    throw BugError("mail_option", fmt::format("mail: option {}: {}", static_cast<int>(option),
                                              curl_easy_strerror(code)));
  }
}

void SmtpTransfer::set_connection() {
  set(CURLOPT_URL, url_.c_str());
  set(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_PROXY, "");  // else all_proxy would route around the guard
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // giving up does not wait for a name look-up
  set(CURLOPT_FRESH_CONNECT, 1L);
  set(CURLOPT_FORBID_REUSE, 1L);
  if (socket_.attach_exclusively(easy_.get()) != CURLE_OK) {
    throw BugError("mail_option", "mail: libcurl takes no socket functions");
  }
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(std::max(timeout_, 1ms).count()));
  // The whole is what counts: libcurl's own limits for connection, login and single replies are
  // shorter than a patient relay may need.
  const auto limit = timeout_ + 1s;
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(limit.count()));
  set(CURLOPT_SERVER_RESPONSE_TIMEOUT,
      static_cast<long>(std::chrono::ceil<std::chrono::seconds>(limit).count()));
}

void SmtpTransfer::set_tls() {
  const long policy = options_.tls == SmtpTls::required        ? CURLUSESSL_ALL
                      : options_.tls == SmtpTls::opportunistic ? CURLUSESSL_TRY
                                                               : CURLUSESSL_NONE;
  set(CURLOPT_USE_SSL, policy);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
  if (options_.user.empty()) return;
  set(CURLOPT_USERNAME, options_.user.c_str());
  set(CURLOPT_PASSWORD, options_.password.c_str());
}

void SmtpTransfer::set_message() {
  set(CURLOPT_MAIL_FROM, mail_.sender.c_str());
  recipients_.reset(curl_slist_append(nullptr, mail_.recipient.c_str()));
  if (!recipients_) throw TransientError("mail_connect", "mail: no memory for a recipient");
  set(CURLOPT_MAIL_RCPT, recipients_.get());
  set(CURLOPT_UPLOAD, 1L);
  set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(mail_.message.size()));
  set(CURLOPT_READFUNCTION, &SmtpTransfer::on_read);
  set(CURLOPT_READDATA, this);
}

std::size_t SmtpTransfer::on_read(char* buffer, std::size_t size, std::size_t count,
                                  void* self) noexcept {
  auto& transfer = *static_cast<SmtpTransfer*>(self);
  const std::string& bytes = transfer.mail_.message;
  const std::size_t taken = std::min(size * count, bytes.size() - transfer.sent_);
  std::memcpy(buffer, bytes.data() + transfer.sent_, taken);
  transfer.sent_ += taken;
  return taken;
}

std::size_t SmtpTransfer::on_header(const char* data, std::size_t size, std::size_t count,
                                    void* self) noexcept {
  auto& transfer = *static_cast<SmtpTransfer*>(self);
  const std::string_view line(data, size * count);
  try {
    if (!transfer.quitting_) transfer.reply_.take(line);
  } catch (...) {
    return 0;  // no memory: ends the transfer
  }
  return line.size();
}

int SmtpTransfer::on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
  return static_cast<SmtpTransfer*>(self)->aborted_ ? 1 : 0;
}

int SmtpTransfer::on_debug(CURL*, curl_infotype type, char* data, std::size_t size,
                           void* self) noexcept {
  // Commands may hold credentials: they are looked at here and kept nowhere.
  if (type == CURLINFO_HEADER_OUT) {
    static_cast<SmtpTransfer*>(self)->sent_command(std::string_view(data, size));
  }
  return 0;
}

void SmtpTransfer::sent_command(std::string_view line) {
  if (line.starts_with("AUTH")) phase_ = SmtpPhase::login;
  if (line.starts_with("MAIL ")) phase_ = SmtpPhase::envelope;
  if (line.starts_with("DATA")) phase_ = SmtpPhase::content;
  if (line.starts_with("QUIT")) {
    quitting_ = true;
    // libcurl would wait for the answer, beyond every timeout.
    socket_.stop_reading();
  }
}

void SmtpTransfer::abort() {
  aborted_ = true;
  socket_.break_off();
}

MailReceipt SmtpTransfer::finish() const {
  if (code_ != CURLE_OK && aborted_) {
    throw boost::system::system_error(boost::asio::error::operation_aborted);
  }
  if (code_ != CURLE_OK) fail();
  MailReceipt receipt;
  receipt.transport = "smtp";
  receipt.reply = reply_.text();
  return receipt;
}

/// Says so when the relay may have the mail in spite of it all.
std::string SmtpTransfer::sentence(std::string_view what) const {
  const bool open = phase_ == SmtpPhase::content && sent_ == mail_.message.size();
  return fmt::format("mail: relay {} {}{}", options_.url, what,
                     open ? "; it may have accepted the mail all the same" : "");
}

void SmtpTransfer::fail() const {
  const std::string why = error_[0] != '\0' ? error_.data() : curl_easy_strerror(code_);
  if (code_ == CURLE_COULDNT_CONNECT && socket_.only_refused()) {
    throw PermanentError("egress_refused",
                         fmt::format("mail: address {} of relay {} is not allowed, allow-list it "
                                     "under egress.allow",
                                     socket_.refused(), options_.url));
  }
  if (code_ == CURLE_USE_SSL_FAILED || is_tls_failure(code_)) {
    throw TransientError("mail_tls", sentence("gives no TLS that we accept: " + why));
  }
  // The relay's own words come first; libcurl's code only tells what it made of them.
  judge_reply(reply_, phase_, options_.url);
  if (code_ == CURLE_LOGIN_DENIED) {
    throw TransientError("mail_login", sentence("offers no way to log in: " + why));
  }
  if (code_ == CURLE_OPERATION_TIMEDOUT) {
    throw TransientError("mail_timeout",
                         sentence(fmt::format("gave no answer within {} ms", timeout_.count())));
  }
  throw TransientError("mail_connect", sentence("cannot be talked to: " + why));
}

}  // namespace rowcrew
