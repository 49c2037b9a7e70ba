// The conversation with a relay, in clear; TLS is in tests/e2e/mail.
#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <rowcrew/error.hpp>

#include "net/smtp_mailer.hpp"
#include "smtp_peer.hpp"
#include "support/run.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

struct Scene {
  explicit Scene(SmtpTls tls = SmtpTls::off, std::vector<std::string> allow = {"127.0.0.0/8"})
      : server(io, peer.script()), mailer(io.get_executor(), EgressGuard(allow), options(tls)) {}

  SmtpOptions options(SmtpTls tls) {
    const std::string http = server.url("");
    SmtpOptions options("smtp" + http.substr(http.find("://")), "node.test");
    options.tls = tls;
    options.timeout = 10s;
    options.connections = 2;
    return options;
  }

  struct Sent {
    std::string code;
    std::string message;
    bool permanent = false;
    MailReceipt receipt;
  };
  Sent send(Mail mail = letter()) {
    Sent sent;
    try {
      sent.receipt = run(io, mailer.send(std::move(mail)));
    } catch (const Error& e) {
      sent.code = e.code();
      sent.message = e.what();
      sent.permanent = e.error_class() == ErrorClass::permanent;
    }
    return sent;
  }
  static Mail letter() {
    Mail mail("from@a.example", "to@b.example",
              "Message-ID: <1@a.example>\r\n\r\n.dot\r\n..\r\nend\r\n");
    mail.key = "k1";
    return mail;
  }

  asio::io_context io;
  SmtpPeer peer;
  RawServer server;
  SmtpMailer mailer;
};

}  // namespace

TEST_CASE("smtp mailer: an accepted mail arrives byte by byte, from and to whom it says") {
  Scene s;
  const auto sent = s.send();
  CHECK(sent.code == "");
  CHECK(sent.receipt.transport == "smtp");
  CHECK(sent.receipt.reply == "250 2.0.0 queued as 17");
  CHECK(run(s.io, until([&] { return s.peer.closed == 1; })));
  REQUIRE(s.peer.messages.size() == 1);
  CHECK(s.peer.messages[0] == Scene::letter().message);
  REQUIRE(s.peer.commands.size() == 5);
  CHECK(s.peer.commands[0] == "EHLO node.test");
  CHECK(s.peer.commands[1].starts_with("MAIL FROM:<from@a.example>"));
  CHECK(s.peer.commands[2] == "RCPT TO:<to@b.example>");
  CHECK(s.peer.commands[4] == "QUIT");
}

TEST_CASE("smtp mailer: a refusal is judged by its code and its enhanced status") {
  struct Case {
    std::string SmtpPeer::*stage;
    const char* reply;
    const char* code;
    bool permanent;
  };
  for (const auto& c : {
           Case{&SmtpPeer::rcpt, "550 5.1.1 no such user\r\n", "mail_refused", true},
           Case{&SmtpPeer::rcpt, "550-5.1.1 no such\r\n550 5.1.1 user\r\n", "mail_refused", true},
           Case{&SmtpPeer::rcpt, "450 4.2.1 greylisted\r\n", "mail_busy", false},
           Case{&SmtpPeer::rcpt, "452 4.2.2 full\r\n", "mail_busy", false},
           Case{&SmtpPeer::rcpt, "552 5.2.2 mailbox full\r\n", "mail_busy", false},
           Case{&SmtpPeer::rcpt, "550 4.1.1 contradiction\r\n", "mail_refused", true},
           Case{&SmtpPeer::mail, "553 5.1.8 sender unknown\r\n", "mail_refused", true},
           Case{&SmtpPeer::mail, "530 5.7.0 log in first\r\n", "mail_login", false},
           Case{&SmtpPeer::mail, "421 4.3.2 closing\r\n", "mail_busy", false},
           Case{&SmtpPeer::data, "451 4.3.0 trouble\r\n", "mail_busy", false},
           Case{&SmtpPeer::end, "554 5.7.1 looks like spam\r\n", "mail_refused", true},
           Case{&SmtpPeer::end, "451 4.7.1 later\r\n", "mail_busy", false},
           Case{&SmtpPeer::greeting, "554 5.7.1 go away\r\n", "mail_connect", false},
           Case{&SmtpPeer::greeting, "421 4.3.2 too many\r\n", "mail_connect", false},
       }) {
    CAPTURE(c.reply);
    Scene s;
    s.peer.*c.stage = c.reply;
    const auto sent = s.send();
    CHECK(sent.code == c.code);
    CHECK(sent.permanent == c.permanent);
    CHECK(sent.message.find(std::string(c.reply).substr(0, 3)) != std::string::npos);
    CHECK(sent.message.find(" 221 ") == std::string::npos);
  }
}

TEST_CASE("smtp mailer: a relay without STARTTLS gets nothing when TLS is required") {
  Scene s(SmtpTls::required);
  const auto sent = s.send();
  CHECK(sent.code == "mail_tls");
  CHECK(!sent.permanent);
  CHECK(!s.peer.heard("MAIL"));
  CHECK(s.peer.messages.empty());
}

TEST_CASE("smtp mailer: opportunistic means in clear when there is no STARTTLS") {
  Scene s(SmtpTls::opportunistic);
  CHECK(s.send().code == "");
  CHECK(s.peer.messages.size() == 1);
}

TEST_CASE("smtp mailer: a connection that breaks after the message leaves the outcome open") {
  Scene s;
  s.peer.end = SmtpPeer::kClose;
  const auto sent = s.send();
  CHECK(sent.code == "mail_connect");
  CHECK(!sent.permanent);
  CHECK(sent.message.find("may have accepted") != std::string::npos);
  s.peer.end = "250 ok\r\n";
  CHECK(s.send().code == "");
  REQUIRE(s.peer.messages.size() == 2);
  CHECK(s.peer.messages[0] == s.peer.messages[1]);
}

TEST_CASE("smtp mailer: before the message it is known that nothing was accepted") {
  for (const auto stage :
       {&SmtpPeer::greeting, &SmtpPeer::ehlo, &SmtpPeer::mail, &SmtpPeer::rcpt, &SmtpPeer::data}) {
    Scene s;
    s.peer.*stage = SmtpPeer::kClose;
    const auto sent = s.send();
    CHECK(sent.code == "mail_connect");
    CHECK(!sent.permanent);
    CHECK(sent.message.find("may have accepted") == std::string::npos);
  }
}

TEST_CASE("smtp mailer: a relay that falls silent is a timeout, at whatever step") {
  for (const auto stage : {&SmtpPeer::greeting, &SmtpPeer::ehlo, &SmtpPeer::rcpt, &SmtpPeer::end}) {
    Scene s;
    s.peer.*stage = SmtpPeer::kSilent;
    Mail mail = Scene::letter();
    mail.timeout = 60ms;
    const auto start = steady_clock::now();
    const auto sent = s.send(std::move(mail));
    CHECK(sent.code == "mail_timeout");
    CHECK(!sent.permanent);
    CHECK(since(start) >= 50ms);  // libcurl counts whole milliseconds
    CHECK(since(start) < 2s);
  }
}

TEST_CASE("smtp mailer: nobody waits for the answer to QUIT") {
  for (const bool refused : {false, true}) {
    Scene s;
    s.peer.quit = SmtpPeer::kSilent;
    if (refused) s.peer.rcpt = "550 5.1.1 no\r\n";
    const auto start = steady_clock::now();
    CHECK(s.send().code == (refused ? "mail_refused" : ""));
    CHECK(since(start) < 1s);
    CHECK(run(s.io, until([&] { return s.peer.heard("QUIT"); })));
  }
}

TEST_CASE("smtp mailer: cancelling drops the conversation at once") {
  Scene s;
  s.peer.rcpt = SmtpPeer::kSilent;
  asio::cancellation_signal signal;
  bool cancelled = false;
  bool ended = false;
  asio::co_spawn(
      s.io, s.mailer.send(Scene::letter()),
      asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e, MailReceipt) {
        ended = true;
        try {
          if (e) std::rethrow_exception(e);
        } catch (const boost::system::system_error& error) {
          cancelled = error.code() == asio::error::operation_aborted;
        }
      }));
  CHECK(run(s.io, until([&] { return s.peer.heard("RCPT"); })));
  signal.emit(asio::cancellation_type::terminal);
  CHECK(run(s.io, until([&] { return ended; })));
  CHECK(cancelled);
  CHECK(run(s.io, until([&] { return s.peer.closed == 1; })));
}

TEST_CASE("smtp mailer: mails beyond the connections wait their turn") {
  Scene s;
  int done = 0;
  for (int i = 0; i < 12; ++i) {
    asio::co_spawn(s.io, s.mailer.send(Scene::letter()), [&](std::exception_ptr e, MailReceipt) {
      if (!e) ++done;
    });
  }
  CHECK(run(s.io, until([&] { return done == 12; })));
  CHECK(s.peer.messages.size() == 12);
  CHECK(s.server.accepted() == 12);
}

TEST_CASE("smtp mailer: a control character in an address is refused before anything is sent") {
  Scene s;
  for (const std::string evil : {"to@b.example\r\nRCPT TO:<x@y.example>", "to@b.example>",
                                 "a b@c.example", "", "nobody", "jörg@b.example"}) {
    for (const bool sender : {false, true}) {
      CAPTURE(evil);
      Mail mail = Scene::letter();
      (sender ? mail.sender : mail.recipient) = evil;
      const auto sent = s.send(std::move(mail));
      CHECK(sent.code == "mail_address");
      CHECK(sent.permanent);
    }
  }
  CHECK(s.server.accepted() == 0);
}

TEST_CASE("smtp mailer: a message that is not fit for the wire is our own mistake") {
  Scene s;
  for (const std::string& bytes :
       {std::string("a\nb\r\n"), std::string("a\rb\r\n"), std::string("é\r\n"),
        std::string("no end"), std::string("a\0b\r\n", 5), std::string()}) {
    Mail mail = Scene::letter();
    mail.message = bytes;
    CHECK(s.send(std::move(mail)).code == "mail_message");
  }
  CHECK(s.server.accepted() == 0);
}

TEST_CASE("smtp mailer: a relay whose address is not allowed is never connected to") {
  Scene s(SmtpTls::off, {});
  const auto sent = s.send();
  CHECK(sent.code == "egress_refused");
  CHECK(sent.permanent);
  CHECK(sent.message.find("127.0.0.1:") != std::string::npos);
  CHECK(s.server.accepted() == 0);
}

TEST_CASE("smtp mailer: nobody listening is no connection") {
  asio::io_context io;
  std::uint16_t port = 0;
  {
    asio::ip::tcp::acceptor gone(io, {asio::ip::make_address("127.0.0.1"), 0});
    port = gone.local_endpoint().port();
  }
  SmtpOptions options("smtp://127.0.0.1:" + std::to_string(port), "node.test");
  options.tls = SmtpTls::off;
  SmtpMailer mailer(io.get_executor(), EgressGuard({"127.0.0.0/8"}), options);
  try {
    run(io, mailer.send(Scene::letter()));
    FAIL("expected an error");
  } catch (const TransientError& e) {
    CHECK(e.code() == "mail_connect");
  }
}
