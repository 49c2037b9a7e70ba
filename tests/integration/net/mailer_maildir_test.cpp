#include <doctest/doctest.h>

#include <sys/stat.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <rowcrew/error.hpp>

#include "loopback.hpp"
#include "net/maildir_mailer.hpp"
#include "net/make_mailer.hpp"
#include "support/kind_bench.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

struct Scene {
  Scene() {
    std::string pattern = "/tmp/rowcrew-maildir-XXXXXX";
    root = ::mkdtemp(pattern.data());
  }
  ~Scene() {
    fs::permissions(root, fs::perms::owner_all);
    fs::remove_all(root);
  }
  static Mail letter(const std::string& text = "hello") {
    Mail mail("from@a.example", "to@b.example", "Subject: x\r\n\r\n" + text + "\r\n");
    mail.key = "key-1";
    return mail;
  }
  std::string send(Mailer& mailer, Mail mail) {
    try {
      receipt = run(io, mailer.send(std::move(mail)));
      return "";
    } catch (const Error& e) {
      return (e.error_class() == ErrorClass::transient ? "" : "!") + e.code() + ": " + e.what();
    }
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static std::size_t count(const fs::path& path) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }

  asio::io_context io;
  fs::path root;
  fs::path box() const { return root / "a" / "mail"; }
  MailReceipt receipt;
};

}  // namespace

TEST_CASE("maildir: a mail is a private file in new/, named by its key") {
  Scene s;
  MaildirMailer mailer(s.io.get_executor(), s.box().string() + "/");
  CHECK(s.send(mailer, Scene::letter()) == "");
  CHECK(s.receipt.transport == "maildir");
  CHECK(s.receipt.reply == (s.box() / "new" / "key-1").string());
  CHECK(Scene::read(s.box() / "new/key-1") == Scene::letter().message);
  CHECK(Scene::count(s.box() / "tmp") == 0);
  for (const char* part : {"", "tmp", "new", "cur"}) {
    struct stat status {};
    REQUIRE(::stat((s.box() / part).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == 0700U);
  }
}

TEST_CASE("maildir: a repeated delivery replaces the file") {
  Scene s;
  MaildirMailer mailer(s.io.get_executor(), s.box().string());
  CHECK(s.send(mailer, Scene::letter("one")) == "");
  CHECK(s.send(mailer, Scene::letter("two")) == "");
  CHECK(Scene::count(s.box() / "new") == 1);
  CHECK(Scene::read(s.box() / "new/key-1") == Scene::letter("two").message);
  Mail other = Scene::letter("three");
  other.key = "key-10";
  CHECK(s.send(mailer, std::move(other)) == "");
  CHECK(Scene::count(s.box() / "new") == 2);
}

TEST_CASE("maildir: a mail that a reader has taken is left alone") {
  Scene s;
  MaildirMailer mailer(s.io.get_executor(), s.box().string());
  CHECK(s.send(mailer, Scene::letter("one")) == "");
  for (const char* name : {"key-1:2,RS", "key-1:2,", "key-1"}) {
    CAPTURE(name);
    fs::rename(s.box() / "new/key-1", s.box() / "cur" / name);
    CHECK(s.send(mailer, Scene::letter("two")) == "");
    CHECK(s.receipt.reply == (s.box() / "cur" / name).string());
    CHECK(Scene::count(s.box() / "new") == 0);
    CHECK(Scene::read(s.box() / "cur" / name) == Scene::letter("one").message);
    fs::rename(s.box() / "cur" / name, s.box() / "new/key-1");
  }
  fs::rename(s.box() / "new/key-1", s.box() / "cur/key-12:2,S");  // somebody else's
  CHECK(s.send(mailer, Scene::letter("two")) == "");
  CHECK(Scene::count(s.box() / "new") == 1);
}

TEST_CASE("maildir: a full disk has its own word, every other trouble names path and reason") {
  Scene s;
  // /dev/full cannot hold directories: a link to it takes the place of the draft.
  MaildirMailer mailer(s.io.get_executor(), s.box().string());
  CHECK(s.send(mailer, Scene::letter()) == "");
  const fs::path draft = s.box() / "tmp" / ("key-1." + std::to_string(::getpid()));
  fs::create_symlink("/dev/full", draft);
  CHECK(s.send(mailer, Scene::letter()) ==
        "mail_disk_full: mail: " + draft.string() + ": No space left on device");
  CHECK(!fs::exists(fs::symlink_status(draft)));
  CHECK(Scene::read(s.box() / "new/key-1") == Scene::letter().message);

  std::ofstream(s.root / "file") << "x";
  MaildirMailer blocked(s.io.get_executor(), (s.root / "file/mail").string());
  CHECK(s.send(blocked, Scene::letter()) ==
        "mail_store: mail: " + (s.root / "file/mail").string() + ": Not a directory");
  fs::remove_all(s.box() / "new");
  std::ofstream(s.box() / "new") << "x";
  CHECK(s.send(mailer, Scene::letter()).starts_with("mail_store: mail: "));
  CHECK(Scene::count(s.box() / "tmp") == 0);
}

TEST_CASE("maildir: a key that leads elsewhere is our own mistake, an odd address the job's") {
  Scene s;
  MaildirMailer mailer(s.io.get_executor(), s.box().string());
  for (const std::string& key :
       {std::string(), std::string("../x"), std::string("a/b"), std::string(".x"),
        std::string("a:2,S"), std::string("a b"), std::string(201, 'k')}) {
    CAPTURE(key);
    Mail mail = Scene::letter();
    mail.key = key;
    CHECK(s.send(mailer, std::move(mail)).starts_with("!mail_key: "));
  }
  Mail mail = Scene::letter();
  mail.recipient = "a@b.example\nc";
  CHECK(s.send(mailer, std::move(mail)).starts_with("!mail_address: "));
  CHECK(!fs::exists(s.box()));
}

TEST_CASE("maildir: cancelling waits until the file is complete") {
  Scene s;
  MaildirMailer mailer(s.io.get_executor(), s.box().string());
  asio::cancellation_signal signal;
  bool ended = false;
  asio::co_spawn(s.io, mailer.send(Scene::letter(std::string(1 << 20, 'x'))),
                 asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr, MailReceipt) {
                   CHECK(fs::exists(s.box() / "new/key-1"));
                   ended = true;
                 }));
  asio::post(s.io, [&] { signal.emit(asio::cancellation_type::terminal); });
  CHECK(run(s.io, until([&] { return ended; })));
}

TEST_CASE("maildir: its end drops the mails that wait, with their callers") {
  Scene s;
  int resumed = 0;
  {
    MaildirMailer mailer(s.io.get_executor(), s.box().string());
    for (int i = 0; i < 50; ++i) {
      asio::co_spawn(s.io, mailer.send(Scene::letter()),
                     [&](std::exception_ptr, MailReceipt) { ++resumed; });
    }
    s.io.poll();
  }
  s.io.restart();
  s.io.poll();
  CHECK(resumed <= 50);
}

TEST_CASE("make_mailer: wrong settings are named with what was expected") {
  asio::io_context io;
  const auto error = [&](const std::string& yaml) -> std::string {
    const Settings root = settings_from("mail:\n" + yaml);
    try {
      make_mailer(io.get_executor(), root.section("mail"), EgressGuard());
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  };
  const std::string smtp = "  transport: smtp\n  ehlo: node.test\n";
  CHECK(error("  transport: maildir\n") == "");
  CHECK(error("  transport: pigeon\n").find("mail.transport") != std::string::npos);
  CHECK(error("  maildir: \"\"\n").find("mail.maildir") != std::string::npos);
  CHECK(error(smtp).find("mail.url") != std::string::npos);
  for (const char* url : {"smtp://relay.example:587", "smtps://relay.example", "smtp://[::1]:25",
                          "smtp://relay.example:587/"}) {
    CAPTURE(url);
    CHECK(error(smtp + "  url: \"" + url + "\"\n") == "");
  }
  for (const char* url :
       {"relay.example", "http://relay.example", "smtp://", "smtp://a:b@relay.example",
        "smtp://relay.example/x", "smtp://relay.example?x", "smtp://relay .example",
        "smtp://relay.example:99999"}) {
    CAPTURE(url);
    CHECK(error(smtp + "  url: \"" + url + "\"\n").starts_with("mail.url: "));
  }
  const std::string relay = smtp + "  url: smtp://relay.example\n";
  CHECK(error(relay + "  user: u\n").find("mail.password: is missing") != std::string::npos);
  CHECK(error(relay + "  password: p\n").find("mail.user: is missing") != std::string::npos);
  CHECK(error(relay + "  user: u\n  password: p\n") == "");
  CHECK(error(relay + "  user: u\n  password: p\n  tls: off\n") == "");
  CHECK(error(relay + "  user: u\n  password: p\n  tls: opportunistic\n").find("mail.tls") !=
        std::string::npos);
  CHECK(error(relay + "  tls: maybe\n").find("mail.tls") != std::string::npos);
  CHECK(error(smtp + "  url: smtps://relay.example\n  tls: off\n").find("mail.tls") !=
        std::string::npos);
  CHECK(error("  transport: smtp\n  url: smtp://relay.example\n  ehlo: \"a b\"\n")
            .find("mail.ehlo") != std::string::npos);
  CHECK(error(relay + "  timeout: 1h\n").find("mail.timeout") != std::string::npos);
  CHECK(error(relay + "  connections: 0\n").find("mail.connections") != std::string::npos);
}
