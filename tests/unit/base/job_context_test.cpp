#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>
#include <rowcrew/job.hpp>

#include "support/log_capture.hpp"

using namespace rowcrew;

namespace {

struct Given {
  Job job;
  testing::LogCapture log;
  JobContext context{job, log, Mono{}};

  explicit Given(const std::string& payload) {
    job.id = "0b5d1c9e-7f0f-4a7e-8a43-000000000001";
    job.table = "job_queue";
    job.payload = payload;
  }
  std::string refusal() const {
    try {
      context.payload();
    } catch (const PermanentError& error) {
      return error.code() + ": " + error.what();
    }
    return "accepted";
  }
};

}  // namespace

TEST_CASE("a payload is a JSON object") {
  CHECK(Given(R"({"to": "a@example.com", "n": 1})").context.payload().at("n") == 1);
  CHECK(Given("{}").context.payload().empty());
}

TEST_CASE("any other payload is refused without repeating it") {
  CHECK(Given("[1]").refusal() == "bad_payload: payload: JSON array, expected a JSON object");
  CHECK(Given("null").refusal() == "bad_payload: payload: JSON null, expected a JSON object");
  CHECK(Given("\"s3cret\"").refusal() ==
        "bad_payload: payload: JSON string, expected a JSON object");
  CHECK(Given("{\"a\":").refusal() == "bad_payload: payload: not JSON, expected a JSON object");
  CHECK(Given("").refusal() == "bad_payload: payload: not JSON, expected a JSON object");
}

TEST_CASE("a number that no double holds is named, and not called no JSON") {
  CHECK(Given(R"({"args": {"n": 1e400}})").refusal() ==
        "bad_payload: payload: a number beyond 1.8e308, expected those that a double can hold");
}

TEST_CASE("the idempotency key is table and id") {
  CHECK(Given("{}").context.idempotency_key() == "job_queue:0b5d1c9e-7f0f-4a7e-8a43-000000000001");
}
