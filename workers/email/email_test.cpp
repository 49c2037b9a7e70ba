#include "email_handler.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

#include "support/fake_db.hpp"
#include "support/kind_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using namespace rowcrew::email;
using namespace std::chrono_literals;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr const char* kId = "hjn3qx2wk4qo2io3q5uaxbavphmgg47h";

class Templates {
 public:
  Templates() {
    ::mkdtemp(path_.data());
    std::ofstream(path_ + "/ready.subject") << "Ready: {{file}}\n";
    std::ofstream(path_ + "/ready.txt") << "{{file}}\n";
    std::ofstream(path_ + "/ready.html") << "<p>{{file}}</p>\n";
  }
  Templates(const Templates&) = delete;
  Templates& operator=(const Templates&) = delete;
  ~Templates() { fs::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/rowcrew-email-XXXXXX";
};

struct Scene {
  explicit Scene(const std::string& more = "")
      : bench("kinds:\n  email:\n    templates: " + templates.path() + "\n" + more),
        handler(Deps{db, bench.ports, bench.http, bench.mail, bench.children, bench.clock,
                     bench.random, bench.log, bench.kinds}) {
    db.answer = [this](const FakeDb::Asked& asked) {
      if (asked.name == "email_allowed") return one_row({allowed ? "t" : "f"});
      return one_row({std::string(kId) + "@" + asked.params.at(6).value(), "1767225600"});
    };
  }

  Outcome run(const std::string& payload) { return bench.run(handler, payload, 20s); }
  /// "code: sentence" of the PermanentError.
  std::string refusal(const std::string& payload) {
    try {
      run(payload);
    } catch (const PermanentError& e) {
      return e.code() + ": " + e.what();
    }
    return "";
  }

  Templates templates;  ///< first: the handler reads it
  FakeDb db;
  bool allowed = true;
  KindBench bench;
  EmailHandler handler;
};

constexpr const char* kOrder =
    R"({"to":"anna@mail.example","template":"ready","data":{"file":"a.jpg"}})";

std::string start_error(const std::string& yaml) {
  try {
    const Scene scene(yaml);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("email: one mail, built from its template, under the id of the ledger") {
  Scene s;
  const Outcome outcome = s.run(kOrder);
  REQUIRE(std::holds_alternative<Completed>(outcome));
  const json result = json::parse(std::get<Completed>(outcome).result);
  CHECK(result ==
        json{{"message_id", std::string(kId) + "@localhost.example"}, {"transport", "maildir"}});
  REQUIRE(s.bench.mail.mails.size() == 1);
  const Mail& mail = s.bench.mail.mails[0];
  CHECK(mail.sender == "noreply@localhost.example");
  CHECK(mail.recipient == "anna@mail.example");
  CHECK(mail.key == kId);
  CHECK(mail.timeout == 20s);
  CHECK(
      mail.message.starts_with("Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nFrom: rowcrew <noreply@"));
  CHECK(mail.message.find("\r\nSubject: Ready: a.jpg\r\n") != std::string::npos);
  REQUIRE(s.db.asked.size() == 1);  // no account, no question
  CHECK(s.db.asked[0].name == "email_record");
  CHECK(s.db.asked[0].params[5] == "job_queue:018f4e2a-0000-7000-8000-000000000001");
  CHECK(s.db.asked[0].params[7] == "sending");
}

TEST_CASE("email: every attempt sends the same bytes") {
  Scene s;
  s.bench.mail.fail(TransientError("mail_busy", "later"));
  CHECK_THROWS_AS(s.run(kOrder), TransientError);
  s.bench.clock.advance(1h);
  s.run(kOrder);
  REQUIRE(s.bench.mail.mails.size() == 2);
  CHECK(s.bench.mail.mails[0].message == s.bench.mail.mails[1].message);
  CHECK(s.bench.mail.mails[0].key == s.bench.mail.mails[1].key);
}

TEST_CASE("email: an account that wants no such mail gets none, and the ledger says so") {
  Scene s;
  s.allowed = false;
  s.bench.job.app = "shop";
  const Outcome outcome =
      s.run(R"({"to":"a@b.example","template":"ready","data":{"file":"x"},"account":"42"})");
  REQUIRE(std::holds_alternative<Cancelled>(outcome));
  CHECK(std::get<Cancelled>(outcome).reason.find("ready") != std::string::npos);
  CHECK(s.bench.mail.mails.empty());
  REQUIRE(s.db.asked.size() == 2);
  CHECK(s.db.asked[0].params[0] == "42");
  CHECK(s.db.asked[0].params[1] == "ready");
  CHECK(s.db.asked[1].params[7] == "suppressed");
  CHECK(s.bench.ports.apps.contains("shop"));
}

TEST_CASE("email: an account that wants it gets it") {
  Scene s;
  CHECK(std::holds_alternative<Completed>(s.run(
      R"({"to":"a@b.example","template":"ready","data":{"file":"x"},"account":"4","name":"Jörg"})")));
  CHECK(s.bench.mail.mails.at(0).message.find("\r\nTo: =?UTF-8?B?SsO2cmc=?= <a@b.example>\r\n") !=
        std::string::npos);
}

TEST_CASE("email: a payload that cannot become a mail is refused before anything is written") {
  Scene s;
  struct Case {
    const char* payload;
    const char* refusal;
  };
  for (const auto& c : {
           Case{R"({})", "bad_payload: email payload: expected \"to\", a string"},
           Case{R"({"to":1,"template":"ready"})",
                "bad_payload: email payload: to is of type number"},
           Case{R"({"to":"a@b.example"})", "bad_payload: email payload: expected \"template\""},
           Case{R"({"to":"a@b.example","template":"ready","data":[1]})",
                "bad_payload: email payload: data is"},
           Case{R"({"to":"a@b.example","template":"ready","account":7})",
                "bad_payload: email payload: account"},
           Case{R"({"to":"a@b.example","template":"ready","account":""})",
                "bad_payload: email payload: account"},
           Case{R"({"to":"a@b.example","template":"ready","bcc":"x"})",
                "bad_payload: email payload: unknown key"},
           Case{R"({"to":"a@b.example\r\nBcc: c@d.example","template":"ready"})", "bad_address: "},
           Case{R"({"to":"a@b.example","name":"x\ny","template":"ready"})", "bad_address: "},
           Case{R"({"to":"a@b.example","template":"none"})", "unknown_template: "},
           Case{R"({"to":"a@b.example","template":"ready"})", "template_data: "},
       }) {
    CAPTURE(c.payload);
    CHECK(s.refusal(c.payload).starts_with(c.refusal));
  }
  CHECK(s.db.asked.empty());
  CHECK(s.bench.mail.mails.empty());
}

TEST_CASE("email: a line end in the data cannot begin a header") {
  Scene s;
  CHECK(s.refusal(
             R"({"to":"a@b.example","template":"ready","data":{"file":"x\r\nBcc: c@d.example"}})")
            .starts_with("bad_header: "));
  CHECK(s.bench.mail.mails.empty());
}

TEST_CASE("email: what the mailer throws reaches the engine as it is") {
  Scene s;
  s.bench.mail.fail(PermanentError("mail_refused", "no such person"));
  CHECK(s.refusal(kOrder) == "mail_refused: no such person");
}

TEST_CASE("email: sender and domain are the operator's") {
  Scene s("    from: \"Studio <hello@studio.example>\"\n    domain: ids.studio.example\n");
  s.run(kOrder);
  CHECK(s.bench.mail.mails.at(0).sender == "hello@studio.example");
  CHECK(s.bench.mail.mails.at(0).message.find("@ids.studio.example>\r\n") != std::string::npos);
  CHECK(start_error("    from: nobody\n").starts_with("kinds.email.from: "));
  CHECK(start_error("    domain: nowhere\n").starts_with("kinds.email.domain: "));
}
