#include <doctest/doctest.h>

#include <initializer_list>
#include <rowcrew/error.hpp>

#include "net/smtp_reply.hpp"

using namespace rowcrew;

namespace {

SmtpReply reply(std::initializer_list<const char*> lines) {
  SmtpReply reply;
  for (const char* line : lines) reply.take(line);
  return reply;
}

std::string verdict(const char* line, SmtpPhase phase) {
  try {
    judge_reply(reply({line}), phase, "smtp://relay");
  } catch (const Error& e) {
    return (e.error_class() == ErrorClass::permanent ? "!" : "") + e.code();
  }
  return "";
}

}  // namespace

TEST_CASE("smtp reply: code, status and text, of one line or several") {
  struct Case {
    std::initializer_list<const char*> lines;
    int code;
    const char* enhanced;
    const char* text;
  };
  for (const auto& c : {
           Case{{"250 ok\r\n"}, 250, "", "250 ok"},
           Case{{"250\r\n"}, 250, "", "250"},
           Case{{"550 5.1.1 no\r\n"}, 550, "5.1.1", "550 5.1.1 no"},
           Case{{"550 5.1.1\n"}, 550, "5.1.1", "550 5.1.1"},
           Case{{"550-5.7.26 a\r\n", "550-5.7.26 b\r\n", "550 c\r\n"},
                550,
                "5.7.26",
                "550-5.7.26 a 5.7.26 b c"},
           Case{{"550-x\r\n", "550 5.1.1 y\r\n"}, 550, "5.1.1", "550-x 5.1.1 y"},
           Case{{"250-a\r\n", "250 b\r\n", "450 4.2.0 c\r\n"}, 450, "4.2.0", "450 4.2.0 c"},
           Case{{"250-a\r\n", "550 b\r\n"}, 550, "", "550 b"},
           Case{{"550 4.1.1 other class\r\n"}, 550, "", "550 4.1.1 other class"},
           Case{{"550 5.1234.1 x\r\n"}, 550, "", "550 5.1234.1 x"},
           Case{{"550 5.1 x\r\n"}, 550, "", "550 5.1 x"},
           Case{{"550 5.1.1x\r\n"}, 550, "", "550 5.1.1x"},
           Case{{"nonsense\r\n", "12 x\r\n", "999 x\r\n", "550x\r\n", "\r\n", ""}, 0, "", ""},
           Case{{"250 ok\r\n", "nonsense\r\n"}, 250, "", "250 ok"},
           Case{{"550 \x01\xff\r\n"}, 550, "", "550 ??"},
       }) {
    CAPTURE(c.text);
    const SmtpReply r = reply(c.lines);
    CHECK(r.code() == c.code);
    CHECK(r.enhanced() == c.enhanced);
    CHECK(r.text() == c.text);
  }
}

TEST_CASE("smtp reply: its text has an end") {
  SmtpReply r;
  for (int i = 0; i < 100; ++i) r.take("550-" + std::string(90, 'x') + "\r\n");
  CHECK(r.text().size() == 500);
}

TEST_CASE("smtp reply: the verdict depends on code, status and how far we had come") {
  struct Case {
    const char* line;
    SmtpPhase phase;
    const char* verdict;
  };
  for (const auto& c : {
           Case{"250 2.0.0 ok", SmtpPhase::content, ""},
           Case{"354 go", SmtpPhase::envelope, ""},
           Case{"421 4.7.0 later", SmtpPhase::envelope, "mail_busy"},
           Case{"450 4.7.1 grey", SmtpPhase::envelope, "mail_busy"},
           Case{"452 4.3.1 full", SmtpPhase::content, "mail_busy"},
           Case{"500 5.5.1 what", SmtpPhase::envelope, "!mail_refused"},
           Case{"550 5.7.1 policy", SmtpPhase::content, "!mail_refused"},
           Case{"552 5.3.4 too big", SmtpPhase::content, "!mail_refused"},
           Case{"552 5.2.2 full", SmtpPhase::envelope, "mail_busy"},
           Case{"556 5.1.10 null MX", SmtpPhase::envelope, "!mail_refused"},
           Case{"535 5.7.8 bad password", SmtpPhase::login, "mail_login"},
           Case{"504 5.5.4 mechanism", SmtpPhase::login, "mail_login"},
           Case{"454 4.7.0 auth is down", SmtpPhase::login, "mail_login"},
           Case{"530 5.7.0 STARTTLS first", SmtpPhase::envelope, "mail_login"},
           Case{"550 5.7.8 credentials", SmtpPhase::envelope, "mail_login"},
           Case{"554 5.7.1 blocked", SmtpPhase::greeting, "mail_connect"},
           Case{"521 no mail here", SmtpPhase::greeting, "mail_connect"},
       }) {
    CAPTURE(c.line);
    CHECK(verdict(c.line, c.phase) == c.verdict);
  }
}
