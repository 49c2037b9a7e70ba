#include "web/web_acts.hpp"

#include <doctest/doctest.h>

#include "web/web_refusal.hpp"

using rowcrew::web::ActRequest;
using rowcrew::web::is_act;
using rowcrew::web::parse_act;
using rowcrew::web::WebRefusal;

namespace {

std::string refusal_of(std::string_view act, std::string_view body) {
  try {
    parse_act(act, body);
  } catch (const WebRefusal& e) {
    CHECK(e.status == 400);
    return e.what();
  }
  return "taken";
}

}  // namespace

TEST_CASE("web acts: there are four") {
  for (const char* act : {"cancel", "redrive", "pause", "resume"}) CHECK(is_act(act));
  for (const char* path : {"", "fleet", "Cancel", "jobs"}) CHECK_FALSE(is_act(path));
}

TEST_CASE("web acts: an act is read with what belongs to it") {
  const ActRequest cancel = parse_act("cancel", R"({"job": "t:1", "reason": "too old"})");
  CHECK(cancel.job == "t:1");
  CHECK(cancel.reason == "too old");
  const ActRequest pause = parse_act("pause", R"({"scope": "queue", "name": "mail", "reason": null, "for_ms": 60000})");
  CHECK(pause.subject() == "queue mail");
  CHECK_FALSE(pause.reason.has_value());
  CHECK(pause.for_ms == 60000);
}

TEST_CASE("web acts: a body that is not asked for names its field") {
  CHECK(refusal_of("cancel", "") == "expected a JSON object");
  CHECK(refusal_of("cancel", "[]") == "expected a JSON object");
  CHECK(refusal_of("cancel", R"({"job": 5})") == "job: expected a text");
  CHECK(refusal_of("cancel", "{}") == "job: missing");
  CHECK(refusal_of("cancel", R"({"job": "x", "all": true})") == "all: cancel knows no such field");
  CHECK(refusal_of("cancel", R"({"job": "x", "scope": "queue"})") == "scope: cancel knows no such field");
  CHECK(refusal_of("pause", R"({"name": "mail"})") == "scope: missing, expected queue, type, tenant or key");
  CHECK(refusal_of("pause", R"({"scope": "queue"})") == "name: missing");
  CHECK(refusal_of("resume", R"({"scope": "queue", "name": "mail", "for_ms": 5})") == "for_ms: resume knows no such field");
}

TEST_CASE("web acts: a pause is for a whole number of milliseconds, at least one") {
  for (const char* span : {"0", "-1", "1.5", "\"5\"", "1e30", "9223372036854775807"}) {
    CAPTURE(span);
    CHECK(refusal_of("pause", std::string(R"({"scope": "queue", "name": "mail", "for_ms": )") + span + "}") ==
          "for_ms: expected milliseconds, up to ten years");
  }
}
