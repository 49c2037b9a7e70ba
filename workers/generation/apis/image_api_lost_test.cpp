#include <doctest/doctest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>
#include <fstream>

#include <rowcrew/error.hpp>

#include "support/image_api_scene.hpp"

namespace rowcrew::generation {
namespace {

using namespace testing;

TEST_CASE("image api: a call without an answer is booked as lost and repeated once per job, not twice") {
  for (const char* code : {"http_timeout", "http_transfer", "http_disk"}) {
    CAPTURE(code);
    Scene scene;
    scene.bench.http.fail(TransientError(code, "http: /out/.a.png.part"));
    const Outcome first = scene.run();
    REQUIRE(std::holds_alternative<Retry>(first));
    CHECK(std::get<Retry>(first).code == code);
    scene.bench.http.fail(TransientError(code, "http: no"));
    CHECK(failed_code(scene.again()) == "openai_lost");
    CHECK(scene.booked() == Booked{{"openai", "gpt-image-2", kFirst, "lost", "40000", "t"},
                                   {"openai", "gpt-image-2", kSecond, "lost", "40000", "t"}});
    CHECK(scene.calls() == 2);
  }
}

/// Its transfers last until they are cancelled.
class EndlessHttpClient final : public HttpClient {
 public:
  explicit EndlessHttpClient(rowcrew::testing::FakeClock& clock) : clock_(clock) {}
  boost::asio::awaitable<HttpResponse> send(HttpRequest) override {
    ++sent;
    co_await clock_.sleep_until(clock_.mono() + 24h);
    co_return HttpResponse();
  }
  int sent = 0;

 private:
  rowcrew::testing::FakeClock& clock_;
};

TEST_CASE("image api: a call that is cancelled with its job is booked before the job ends") {
  Scene scene;
  EndlessHttpClient http(scene.bench.clock);
  Deps deps{scene.db, scene.bench.ports, http, scene.bench.mail, scene.children, scene.bench.clock, scene.bench.random, scene.bench.log, scene.bench.kinds};
  const auto provider = make_openai_provider(deps);
  JobContext context(scene.bench.job, scene.bench.log, scene.bench.clock.mono() + 1h, scene.bench.clock.mono(), &scene.node);
  boost::asio::cancellation_signal cancel;
  std::exception_ptr end;
  boost::asio::co_spawn(scene.bench.io, provider->generate(context, scene.work),
                        boost::asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr error, const Outcome&) { end = error; }));
  scene.bench.io.restart();
  scene.bench.io.poll();
  CHECK(http.sent == 1);
  cancel.emit(boost::asio::cancellation_type::terminal);
  scene.bench.io.restart();
  scene.bench.io.run();
  REQUIRE(end);
  CHECK_THROWS_AS(std::rethrow_exception(end), boost::system::system_error);
  CHECK(scene.booked() == Booked{{"openai", "gpt-image-2", kFirst, "lost", "40000", "t"}});
  // Should it run again, the call was told of, and there is one more.
  scene.bench.http.fail(TransientError("http_timeout", "http: no"));
  CHECK(failed_code(scene.again()) == "openai_lost");
  CHECK(scene.booked().size() == 2);
  // And should somebody redrive what failed, it begins anew.
  scene.bench.http.answer(200, kRequestId, kOpenai);
  CHECK(std::holds_alternative<Completed>(scene.again()));
}

TEST_CASE("image api: an answer of 2xx that is no JSON is lost and asked for once more") {
  Scene scene;
  scene.bench.http.answer(200, kRequestId, R"({"data":[{"b64_js)");
  scene.bench.http.answer(200, kRequestId, kOpenai);
  CHECK(std::holds_alternative<Completed>(scene.run()));
  CHECK(scene.booked().at(0)[3] == "lost");
  CHECK(scene.booked().at(1)[3] == "done");
  CHECK(scene.files() == std::vector<std::string>{"a.png"});
}

TEST_CASE("image api: an answer that a dead node had saved is used, and neither asked for nor booked again") {
  Scene scene;
  scene.bench.http.answer(200, kRequestId, kOpenai);
  ChildResult stopped;
  stopped.exit_code = 4;
  stopped.output = R"({"error":{"code":"disk_full","message":"no room"}})";
  scene.children.develops.push_back(stopped);
  CHECK(std::holds_alternative<Retry>(scene.run()));
  CHECK(scene.files() == std::vector<std::string>{".a.png.77-answer.part"});
  scene.start();
  CHECK(std::holds_alternative<Completed>(scene.again(1)));
  CHECK(scene.calls() == 1);
  CHECK(scene.booked().size() == 1);
  CHECK(scene.files() == std::vector<std::string>{"a.png"});
}

TEST_CASE("image api: the last attempt leaves no answer behind that nobody comes for") {
  Scene scene;
  scene.bench.job.max_attempts = 1;
  scene.bench.http.answer(200, kRequestId, kOpenai);
  ChildResult stopped;
  stopped.exit_code = 4;
  stopped.output = R"({"error":{"code":"disk_full","message":"no room"}})";
  scene.children.develops.push_back(stopped);
  CHECK(std::holds_alternative<Retry>(scene.run()));
  CHECK(scene.files().empty());
}

TEST_CASE("image api: a node that died before it told of the answer left it in its part") {
  Scene scene;
  scene.bench.http.fail(std::logic_error("here it dies"));
  CHECK_THROWS_AS(scene.run(), std::logic_error);
  std::ofstream(scene.folder + "/.a.png.77-answer.part") << kOpenai;
  CHECK(std::holds_alternative<Completed>(scene.again(1)));
  CHECK(scene.calls() == 1);
  CHECK(scene.booked() == Booked{{"openai", "gpt-image-2", kFirst, "done", "125050", "f"}});
}

TEST_CASE("image api: half of an answer in the part of a dead node is a lost call") {
  Scene scene;
  scene.bench.http.fail(std::logic_error("here it dies"));
  CHECK_THROWS_AS(scene.run(), std::logic_error);
  std::ofstream(scene.folder + "/.a.png.77-answer.part") << kOpenai.substr(0, 20);
  scene.bench.http.answer(200, kRequestId, kOpenai);
  CHECK(std::holds_alternative<Completed>(scene.again(1)));
  CHECK(scene.calls() == 2);
  CHECK(scene.booked().at(0)[3] == "lost");
}

TEST_CASE("image api: a death that nothing tells about is counted as a lost call, once each") {
  Scene scene;
  scene.bench.http.answer(429, {}, error("rate_limit_exceeded"));
  CHECK(std::holds_alternative<Snooze>(scene.again(1)));
  CHECK(scene.booked().size() == 1);
  CHECK(scene.booked()[0][3] == "lost");
  scene.start();
  scene.bench.http.answer(200, kRequestId, kOpenai);
  CHECK(std::holds_alternative<Completed>(scene.again()));
  CHECK(scene.booked().size() == 2);

  Scene twice;
  twice.bench.http.answer(429, {}, error("rate_limit_exceeded"));
  twice.again(1);
  twice.start();
  CHECK(failed_code(twice.again(1)) == "openai_lost");
  CHECK(twice.calls() == 1);
  CHECK(twice.booked().size() == 2);
}

}  // namespace
}  // namespace rowcrew::generation
