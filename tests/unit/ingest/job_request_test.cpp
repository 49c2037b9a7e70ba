#include "ingest/job_request.hpp"

#include <doctest/doctest.h>

#include <string>

#include "ingest/refused.hpp"

using rowcrew::JobRequest;
using rowcrew::parse_job_request;
using namespace std::chrono_literals;

namespace {

std::string refusal(const std::string& body) {
  try {
    parse_job_request(body);
    return {};
  } catch (const rowcrew::Refused& e) {
    CHECK(e.status == 400);
    CHECK(e.code() == "bad_request");
    return e.what();
  }
}

/// A body that is right but for `more`.
std::string with(const std::string& more) {
  return "{\"job_type\":\"mail\",\"payload\":{}," + more + "}";
}

}  // namespace

TEST_CASE("a full request is read field by field") {
  const JobRequest job = parse_job_request(
      R"({"job_type":"mail.send","payload":{"to":[1e400, 18446744073709551616 ]},"queue":"mail",)"
      R"("priority":0,"delay":"10m","unique_key":"käse","tenant":"acme"})");
  CHECK(job.job_type == "mail.send");
  CHECK(job.payload == R"({"to":[1e400, 18446744073709551616 ]})");
  CHECK(job.queue == "mail");
  CHECK(job.priority == 0);
  CHECK(job.delay == 10min);
  CHECK(job.unique_key == "käse");
  CHECK(job.tenant == "acme");
}

TEST_CASE("the optional fields may be absent or null") {
  for (
      const std::string body :
      {R"({"payload":{},"job_type":"a"})",
       R"({"job_type":"a","payload":{},"queue":null,"priority":null,"delay":null,"unique_key":null,"tenant":null})"}) {
    const JobRequest job = parse_job_request(body);
    CHECK(job.job_type == "a");
    CHECK_FALSE(job.queue);
    CHECK_FALSE(job.priority);
    CHECK_FALSE(job.delay);
    CHECK_FALSE(job.unique_key);
    CHECK_FALSE(job.tenant);
  }
}

TEST_CASE("the two required fields may not") {
  CHECK(refusal(R"({"payload":{}})") == "job_type: missing, expected the type of the job");
  CHECK(refusal(R"({"job_type":null,"payload":{}})") ==
        "job_type: missing, expected the type of the job");
  CHECK(refusal(R"({"job_type":"a"})") == "payload: missing, expected an object");
  CHECK(refusal(R"({"job_type":"a","payload":null})") == "payload: missing, expected an object");
}

TEST_CASE("the payload must be an object") {
  CHECK(refusal(R"({"job_type":"a","payload":[1]})") == "payload: an array, expected an object");
  CHECK(refusal(R"({"job_type":"a","payload":"{}"})") == "payload: a text, expected an object");
}

TEST_CASE("unknown and repeated fields are errors") {
  CHECK(refusal(with(R"("prio":1)")) ==
        "prio: unknown field, expected job_type, payload, queue, priority, delay, unique_key or tenant");
  CHECK(refusal(with(R"("job_type":"x")")) == "job_type: given twice, expected it once");
  CHECK(refusal(with(R"("job\u005ftype":"x")")) == "job_type: given twice, expected it once");
}

TEST_CASE("each field is held to its form, and the sentence names it") {
  CHECK(refusal(R"({"job_type":7,"payload":{}})") == "job_type: a number, expected a text");
  CHECK(refusal(R"({"job_type":"","payload":{}})").starts_with("job_type: "));
  CHECK(refusal(R"({"job_type":"a b","payload":{}})").starts_with("job_type: \"a b\""));
  CHECK(refusal("{\"job_type\":\"" + std::string(101, 'a') + "\",\"payload\":{}}")
            .starts_with("job_type: "));
  CHECK(refusal(with(R"("queue":"Mail")")).starts_with("queue: Mail"));
  CHECK(refusal(with(R"("queue":"-a")")).starts_with("queue: -a"));
  CHECK(refusal(with("\"queue\":\"" + std::string(64, 'q') + "\"")).starts_with("queue: "));
  CHECK(refusal(with(R"("priority":10)")) ==
        "priority: 10, expected a whole number, 0 (first) to 9");
  CHECK(refusal(with(R"("priority":-1)")).starts_with("priority: -1"));
  CHECK(refusal(with(R"("priority":1.0)")).starts_with("priority: 1.0"));
  CHECK(refusal(with(R"("priority":99999999999999999999)")).starts_with("priority: "));
  CHECK(refusal(with(R"("priority":"1")")).starts_with("priority: a text"));
  CHECK(refusal(with(R"("delay":600)"))
            .starts_with("delay: a number, expected a duration such as \"10m\""));
  CHECK(refusal(with(R"("delay":"10")")).starts_with("delay: 10 has no unit"));
  CHECK(refusal(with(R"("delay":"-1s")")).starts_with("delay: "));
  CHECK(refusal(with(R"("delay":"4000d")")).starts_with("delay: 4000d, expected"));
  CHECK(refusal(with(R"("unique_key":"")")).starts_with("unique_key: "));
  CHECK(refusal(with(R"("unique_key":"a\tb")")).starts_with("unique_key: "));
  CHECK(refusal(with(R"("tenant":"")")) == "tenant: \"\", expected 1 to 100 characters, no control characters");
  CHECK(refusal(with("\"tenant\":\"" + std::string(101, 't') + "\"")).starts_with("tenant: "));
}

TEST_CASE("limits belong to what is allowed: the longest, the first and the last of each field pass") {
  for (const std::string& queue : {std::string("a"), std::string("0-a_b.z9"), std::string(63, 'q')}) {
    CHECK(parse_job_request(with("\"queue\":\"" + queue + "\"")).queue == queue);
  }
  for (const char* queue : {"", "aB", "a b", "a:", "_a"}) {
    CHECK(refusal(with("\"queue\":\"" + std::string(queue) + "\"")).starts_with("queue: "));
  }
  CHECK(parse_job_request(with(R"("priority":9)")).priority == 9);
  CHECK(parse_job_request("{\"job_type\":\"!" + std::string(98, 'a') + "~\",\"payload\":{}}").job_type.size() == 100);
  CHECK(refusal("{\"job_type\":\"a\x7f\",\"payload\":{}}").starts_with("job_type: "));
  CHECK(refusal(with("\"tenant\":\"a\x7f\"")).starts_with("tenant: "));
}

TEST_CASE("a unique key is measured in characters") {
  std::string umlauts;
  for (int i = 0; i < 199; ++i) umlauts += "ä";
  CHECK(refusal(with("\"unique_key\":\"" + umlauts + "\"")).empty());
  CHECK(refusal(with("\"unique_key\":\"" + umlauts + "ä\"")).starts_with("unique_key: "));
}

TEST_CASE("a payload may nest 64 deep, whatever stands around it") {
  const auto body = [](std::size_t levels) {
    return "{\"job_type\":\"a\",\"payload\":{\"x\":" + std::string(levels - 1, '[') +
           std::string(levels - 1, ']') + "}}";
  };
  CHECK(refusal(body(64)).empty());
  CHECK(refusal(body(65)).starts_with("body: byte "));
}

TEST_CASE("what is no JSON object is the body's fault") {
  CHECK(refusal("") == "body: byte 0: found the end, expected an object");
  CHECK(refusal("[]").starts_with("body: byte 0"));
  CHECK(refusal(R"({"job_type":"a","payload":{"x":"\u0000"}})").starts_with("body: "));
}
