#include "address.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

using namespace rowcrew;
using namespace rowcrew::email;

namespace {

/// The sentence of the refusal; empty: accepted.
std::string refusal(const std::string& address) {
  try {
    check_address(address);
  } catch (const PermanentError& e) {
    CHECK(e.code() == "bad_address");
    return e.what();
  }
  return "";
}

bool says(const std::string& sentence, const char* words) {
  return sentence.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("address: what people have is accepted") {
  for (const char* address :
       {"a@b.example", "anna.maria@photo-studio.example", "x+tag@a.b.c.example",
        "o'neil@mail.example", "1@2.example", "a_b-c@xn--bcher-kva.example"}) {
    CAPTURE(address);
    CHECK(refusal(address) == "");
  }
  CHECK(refusal(std::string(64, 'a') + "@b.example") == "");
}

TEST_CASE("address: what would reach the wire as more than an address is refused") {
  for (const std::string address : {"a@b.example\r\nRCPT TO:<c@d.example>", "a\n@b.example",
                                    "a@b.example\t", "a\x7f@b.example"}) {
    CAPTURE(address);
    CHECK(says(refusal(address), "control character"));
  }
  CHECK(says(refusal(std::string("a@b.exa\0mple", 12)), "control character"));
}

TEST_CASE("address: every other refusal says what is wrong") {
  CHECK(says(refusal(""), "empty"));
  CHECK(says(refusal("anna"), "no \"@\""));
  CHECK(says(refusal("a@b@c.example"), "more than one"));
  CHECK(says(refusal("Anna <a@b.example>"), "before the \"@\""));
  CHECK(says(refusal("jörg@b.example"), "before the \"@\""));
  CHECK(says(refusal("a@bücher.example"), "xn--"));
  for (const char* local : {"", ".a", "a.", "a..b", "a b", "\"a\"", "a,b", "a(b)"}) {
    CAPTURE(local);
    CHECK(says(refusal(local + std::string("@b.example")), "before the \"@\""));
  }
  CHECK(says(refusal(std::string(65, 'a') + "@b.example"), "before the \"@\""));
  for (const char* domain : {"", "gmail", ".example", "b.", "b..example", "-b.example",
                             "b-.example", "b_c.example", "[127.0.0.1]", "b.example "}) {
    CAPTURE(domain);
    CHECK(says(refusal(std::string("a@") + domain), "behind the \"@\""));
  }
  CHECK(says(refusal("a@" + std::string(64, 'b') + ".example"), "behind the \"@\""));
}

TEST_CASE("address: a configured sender may carry a name") {
  CHECK(parse_mailbox("a@b.example").address == "a@b.example");
  const Mailbox plain = parse_mailbox(" Photo Studio <a@b.example> ");
  CHECK(plain.name == "Photo Studio");
  CHECK(plain.address == "a@b.example");
  CHECK(parse_mailbox("\"Studio, Inc.\" <a@b.example>").name == "Studio, Inc.");
  CHECK(parse_mailbox("<a@b.example>").name == "");
  for (const char* text :
       {"", "<", "a <b", "a <b@c.example> d", "a <b@c.example", "x\n <b@c.example>"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_mailbox(text), PermanentError);
  }
}

TEST_CASE("address: a recipient's name holds no line end and is not endless") {
  CHECK_NOTHROW(check_display_name("Jörg 🙂 Müller"));
  CHECK_THROWS_AS(check_display_name("Anna\r\nBcc: x@y.example"), PermanentError);
  CHECK_THROWS_AS(check_display_name(std::string(201, 'n')), PermanentError);
}
