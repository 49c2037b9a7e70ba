// A Mailer that accepts everything, or what the script says, and keeps what it was given.
#pragma once

#include <deque>
#include <exception>
#include <utility>
#include <vector>

#include <rowcrew/mailer.hpp>

namespace rowcrew::testing {

class FakeMailer final : public Mailer {
 public:
  /// The next mail that has no answer yet fails with `error`.
  template <class E>
  void fail(E error) {
    script_.push_back(std::make_exception_ptr(std::move(error)));
  }

  boost::asio::awaitable<MailReceipt> send(Mail mail) override {
    mails.push_back(std::move(mail));
    if (!script_.empty()) {
      const std::exception_ptr error = script_.front();
      script_.pop_front();
      std::rethrow_exception(error);
    }
    MailReceipt receipt;
    receipt.transport = "maildir";
    co_return receipt;
  }

  std::vector<Mail> mails;

 private:
  std::deque<std::exception_ptr> script_;
};

}  // namespace rowcrew::testing
