#include "message.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>
#include <string>
#include <vector>

#include "header_text.hpp"

using namespace rowcrew;
using namespace rowcrew::email;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find("\r\n", at);
    REQUIRE(end != std::string::npos);
    lines.push_back(text.substr(at, end - at));
    at = end + 2;
  }
  return lines;
}

int value_of(char c) {
  static const std::string kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return static_cast<int>(kAlphabet.find(c));
}

std::string from_base64(const std::string& text) {
  std::string out;
  unsigned group = 0;
  int bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    group = group << 6 | static_cast<unsigned>(value_of(c));
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(group >> bits & 0xffU);
    }
  }
  return out;
}

/// What a reader makes of a header that consists of RFC 2047 words; checks their form.
std::string decoded(const std::string& header) {
  std::string out;
  for (std::size_t at = header.find("=?"); at != std::string::npos; at = header.find("=?", at)) {
    const auto end = header.find("?=", at + 10);
    REQUIRE(end != std::string::npos);
    CHECK(end + 2 - at <= 75);
    const std::string word = from_base64(header.substr(at + 10, end - at - 10));
    CHECK((static_cast<unsigned char>(word.front()) & 0xc0) != 0x80);  // begins with a code point
    out += word;
    at = end + 2;
  }
  return out;
}

std::string from_quoted_printable(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') {
      out += text[i];
    } else if (text.compare(i, 3, "=\r\n") == 0) {
      i += 2;
    } else {
      out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    }
  }
  return out;
}

Letter letter() {
  Letter letter;
  letter.from = {"rowcrew", "noreply@photos.example"};
  letter.to = {"Anna", "anna@mail.example"};
  letter.content = {"Your photo is ready", "Hello\n", "<p>Hello</p>\n"};
  letter.message_id = "hjn3qx2wk4qo2io3q5uaxbavphmgg47h@photos.example";
  letter.date = std::chrono::sys_days(std::chrono::year(2026) / 1 / 1) + 0s;
  return letter;
}

}  // namespace

TEST_CASE("message: the whole mail, byte by byte") {
  CHECK(build_message(letter()) ==
        "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
        "From: rowcrew <noreply@photos.example>\r\n"
        "To: Anna <anna@mail.example>\r\n"
        "Subject: Your photo is ready\r\n"
        "Message-ID: <hjn3qx2wk4qo2io3q5uaxbavphmgg47h@photos.example>\r\n"
        "MIME-Version: 1.0\r\n"
        "Auto-Submitted: auto-generated\r\n"
        "Content-Type: multipart/alternative;\r\n"
        " boundary=\"=_hjn3qx2wk4qo2io3q5uaxbavphmgg47h\"\r\n"
        "\r\n"
        "--=_hjn3qx2wk4qo2io3q5uaxbavphmgg47h\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n"
        "\r\n"
        "Hello\r\n"
        "--=_hjn3qx2wk4qo2io3q5uaxbavphmgg47h\r\n"
        "Content-Type: text/html; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n"
        "\r\n"
        "<p>Hello</p>\r\n"
        "--=_hjn3qx2wk4qo2io3q5uaxbavphmgg47h--\r\n");
}

TEST_CASE("message: dates are English and of fixed width in any year") {
  using std::chrono::sys_days;
  using std::chrono::year;
  CHECK(mail_date(sys_days(year(2026) / 11 / 20) + 16h + 5min + 9s) ==
        "Fri, 20 Nov 2026 16:05:09 +0000");
  CHECK(mail_date(sys_days(year(2024) / 2 / 29) + 23h + 59min + 59s) ==
        "Thu, 29 Feb 2024 23:59:59 +0000");
}

TEST_CASE("message: quoted-printable comes back as it was, in short lines of 7 bit") {
  struct Case {
    const char* text;
    const char* encoded;
  };
  for (const auto& c :
       {Case{"", ""}, Case{"a", "a\r\n"}, Case{"a\nb\r\nc\rd\n", "a\r\nb\r\nc\r\nd\r\n"},
        Case{"\n\n", "\r\n\r\n"}, Case{"1=2", "1=3D2\r\n"}, Case{"é", "=C3=A9\r\n"},
        Case{"end \ntab\t\n", "end=20\r\ntab=09\r\n"}, Case{" a b", " a b\r\n"},
        Case{".", "=2E\r\n"}, Case{".\n..\na.b", "=2E\r\n=2E.\r\na.b\r\n"},
        Case{"\x01\x7f", "=01=7F\r\n"}, Case{"From me", "From me\r\n"}}) {
    CAPTURE(c.text);
    CHECK(quoted_printable(c.text) == c.encoded);
  }
}

TEST_CASE("message: long lines are broken softly, wherever the columns end") {
  for (std::size_t length = 70; length < 160; ++length) {
    for (const std::string unit : {"a", "é", "🙂", "a ", "=", "."}) {
      CAPTURE(length);
      CAPTURE(unit);
      std::string text;
      while (text.size() < length) text += unit;
      const std::string encoded = quoted_printable(text);
      for (const auto& line : lines_of(encoded)) {
        CHECK(line.size() <= 76);
        CHECK(!line.starts_with('.'));
        CHECK(!line.ends_with(' '));
      }
      CHECK(from_quoted_printable(encoded) == text + "\r\n");
    }
  }
}

TEST_CASE("message: a subject that is no ASCII becomes words that readers put together again") {
  std::string subject;
  for (int i = 0; i < 60; ++i) subject += i % 3 == 0 ? "🙂" : i % 3 == 1 ? "é" : "x ";
  for (std::size_t at = 0; at < 8; ++at) {
    const std::string text = std::string(at, 'a') + subject;
    const std::string header = text_header("Subject", text);
    CHECK(decoded(header) == text);
    const auto lines = lines_of(header);
    CHECK(lines.size() > 3);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      CHECK(lines[i].size() <= 76);
      if (i > 0) CHECK(lines[i].starts_with(" =?UTF-8?B?"));
    }
  }
  CHECK(text_header("Subject", "🙂") == "Subject: =?UTF-8?B?8J+Zgg==?=\r\n");
}

TEST_CASE("message: a long ASCII subject is folded at its blanks") {
  std::string subject = "Your";
  for (int i = 0; i < 40; ++i) subject += " photo" + std::to_string(i);
  std::string unfolded;
  for (const auto& line : lines_of(text_header("Subject", subject))) {
    CHECK(line.size() <= 76);
    unfolded += line;
  }
  CHECK(unfolded == "Subject: " + subject);
}

TEST_CASE("message: ASCII that folding or a reader would change is encoded") {
  for (const std::string& value :
       {std::string("=?UTF-8?B?eA==?="), std::string("two  blanks"), std::string(" first"),
        std::string("last "), std::string(100, 'x'), "a " + std::string(90, 'y')}) {
    CAPTURE(value);
    const std::string header = text_header("Subject", value);
    CHECK(decoded(header) == value);
    for (const auto& line : lines_of(header)) CHECK(line.size() <= 76);
  }
}

TEST_CASE("message: an empty subject is an empty header") {
  CHECK(text_header("Subject", "") == "Subject: \r\n");
}

TEST_CASE("message: names with specials are quoted, others than ASCII encoded, long ones folded") {
  CHECK(address_header("To", "", "a@b.example") == "To: <a@b.example>\r\n");
  CHECK(address_header("To", "Anna B", "a@b.example") == "To: Anna B <a@b.example>\r\n");
  CHECK(address_header("To", "B, \"Anna\" \\", "a@b.example") ==
        "To: \"B, \\\"Anna\\\" \\\\\" <a@b.example>\r\n");
  CHECK(address_header("To", "x@y.example", "a@b.example") ==
        "To: \"x@y.example\" <a@b.example>\r\n");
  CHECK(decoded(address_header("To", "Jörg", "a@b.example")) == "Jörg");
  CHECK(address_header("To", std::string(60, 'n'), "anna.maria@b.example") ==
        "To: " + std::string(60, 'n') + "\r\n <anna.maria@b.example>\r\n");
  for (const std::string& name :
       {std::string(200, 'n'), std::string(199, '"'), std::string(66, '.')}) {
    for (const auto& line : lines_of(address_header("To", name, "anna.maria@b.example"))) {
      CHECK(line.size() <= 76);
    }
  }
}

TEST_CASE("message: nothing that comes from outside begins a header of its own") {
  for (const char* evil : {"x\r\nBcc: y@z.example", "x\ny", "x\ry", "x\x7f", "\t", "x\u0085y", "x\u009b2J", "x\u2028y", "\u2029"}) {
    CAPTURE(evil);
    Letter subject = letter();
    subject.content.subject = evil;
    Letter name = letter();
    name.to.name = evil;
    Letter address = letter();
    address.to.address = evil;
    Letter id = letter();
    id.message_id = evil;
    for (const Letter& bad : {subject, name, address, id}) {
      try {
        build_message(bad);
        FAIL("expected a refusal");
      } catch (const PermanentError& e) {
        CHECK(e.code() == "bad_header");
      }
    }
  }
}

TEST_CASE("message: characters beside the line ends of Unicode pass") {
  Letter plain = letter();
  plain.content.subject = "\u00a0\u00c2\u2027\u202f\u20a8";
  CHECK_NOTHROW(build_message(plain));
}

TEST_CASE("message: a subject of megabytes is refused, one of 2000 bytes is folded") {
  Letter endless = letter();
  for (const std::size_t most : {2'000, 2'001}) {
    endless.content.subject = std::string(most, 'x');
    if (most == 2'000) {
      CHECK_NOTHROW(build_message(endless));
    } else {
      CHECK_THROWS_AS(build_message(endless), PermanentError);
    }
  }
}

TEST_CASE("message: no body can hold the boundary") {
  Letter evil = letter();
  evil.content.text = "--=_hjn3qx2wk4qo2io3q5uaxbavphmgg47h--\n";
  const std::string message = build_message(evil);
  CHECK(message.find("\r\n--=3D_hjn3") != std::string::npos);
}
