// One mail as a libcurl handle: options, callbacks, and what came of it.
#pragma once

#include <curl/curl.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <rowcrew/mailer.hpp>
#include "net/guarded_socket.hpp"
#include "net/smtp_mailer.hpp"
#include "net/smtp_reply.hpp"

namespace rowcrew {

/// libcurl keeps pointers into this object: it stays where it was built. One thread at a time, but
/// for abort().
class SmtpTransfer {
 public:
  /// Checks the mail (mail_rules.hpp). Guard and options must outlive this.
  SmtpTransfer(const EgressGuard& guard, const SmtpOptions& options, Mail mail);
  SmtpTransfer(const SmtpTransfer&) = delete;
  SmtpTransfer& operator=(const SmtpTransfer&) = delete;

  /// Blocks for the whole conversation, its timeout at most.
  void run() noexcept { code_ = curl_easy_perform(easy_.get()); }
  /// Makes run() return soon (within a second at the latest). Any thread.
  void abort();
  /// The receipt, once run() has returned. Throws as Mailer::send() does: operation_aborted after
  /// abort(), unless the relay had accepted the mail before.
  MailReceipt finish() const;

 private:
  struct FreeEasy {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  static std::size_t on_read(char* buffer, std::size_t size, std::size_t count,
                             void* self) noexcept;
  static std::size_t on_header(const char* data, std::size_t size, std::size_t count,
                               void* self) noexcept;
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept;
  static int on_debug(CURL*, curl_infotype type, char* data, std::size_t size, void* self) noexcept;

  template <class T>
  void set(CURLoption option, T value);
  void set_connection();
  void set_tls();
  void set_message();
  void sent_command(std::string_view line);
  std::string sentence(std::string_view what) const;
  [[noreturn]] void fail() const;

  const SmtpOptions& options_;
  GuardedSocket socket_;
  Mail mail_;
  std::chrono::milliseconds timeout_;
  std::string url_;
  std::size_t sent_ = 0;  ///< bytes of the message that libcurl has taken
  SmtpPhase phase_ = SmtpPhase::greeting;
  bool quitting_ = false;  ///< what comes now is the answer to QUIT
  SmtpReply reply_;
  std::atomic<bool> aborted_{false};
  CURLcode code_ = CURLE_FAILED_INIT;
  std::array<char, CURL_ERROR_SIZE> error_{};
  std::unique_ptr<curl_slist, FreeList> recipients_;
  std::unique_ptr<CURL, FreeEasy> easy_;  ///< last: its end may still call back
};

}  // namespace rowcrew
