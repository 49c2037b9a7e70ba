#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <rowcrew/error.hpp>

#include "magic_hour_api.hpp"
#include "magic_hour_provider.hpp"
#include "magic_hour_run.hpp"
#include "support/image_api_scene.hpp"

namespace rowcrew::generation {
namespace {

using namespace testing;
using Act = ProviderVerdict::Act;

HttpResponse answered(int status, const std::string& body = R"({"message":"No."})") {
  HttpResponse response;
  response.status = status;
  response.body = body;
  return response;
}

TEST_CASE("magic hour: every row of its table of errors") {
  struct Row {
    int status;
    Act act;
    const char* code;
  };
  for (const Row& row : {Row{200, Act::answered, ""}, Row{400, Act::fail, "magic_hour_bad_request"}, Row{422, Act::fail, "magic_hour_bad_request"},
                         Row{401, Act::shut, "magic_hour_refuses_us"}, Row{402, Act::shut, "magic_hour_quota"}, Row{403, Act::shut, "magic_hour_refuses_us"},
                         Row{404, Act::fail, "magic_hour_http_404"}, Row{429, Act::wait, "magic_hour_rate_limited"}, Row{500, Act::again, "magic_hour_http_500"},
                         Row{502, Act::again, "magic_hour_http_502"}, Row{503, Act::again, "magic_hour_http_503"}}) {
    CAPTURE(row.status);
    for (const char* body : {R"({"message":"No."})", "<html>", ""}) {
      CHECK(judge_magic_hour(answered(row.status, body), {}).act == row.act);
      CHECK(judge_magic_hour(answered(row.status, body), {}).code == row.code);
    }
  }
}

TEST_CASE("magic hour: every end of a headshot") {
  const auto end = [](const std::string& code) {
    return read_headshot(json::parse(R"({"id":"c1","status":"error","credits_charged":0,"error":{"message":"no","code":")" + code + "\"}}"));
  };
  CHECK(end("no_source_face").verdict.code == "magic_hour_no_source_face");
  for (const char* code : {"no_source_face", "invalid_file_format", "file_too_large", "invalid_parameters", "content_policy_violation", "new_one"}) {
    CHECK(end(code).verdict.act == Act::fail);
    CHECK(end(code).over);
    CHECK(end(code).credits == 0);
  }
  CHECK(end("content_policy_violation").verdict.code == "content_policy");
  CHECK(end("insufficient_credits").verdict.act == Act::shut);
  for (const char* code : {"unknown_error", "processing_timeout"}) CHECK(end(code).verdict.act == Act::again);
  const Headshot done = read_headshot(json::parse(R"({"id":"c1","status":"complete","credits_charged":50,"downloads":[{"url":"https://v/x"}]})"));
  CHECK(done.over);
  CHECK(done.url == "https://v/x");
  CHECK(done.verdict.act == Act::answered);
  CHECK(read_headshot(json::parse(R"({"status":"complete","downloads":[]})")).verdict.act == Act::again);
  CHECK(read_headshot(json::parse(R"({"status":"canceled"})")).verdict.code == "magic_hour_canceled");
  for (const char* status : {"draft", "queued", "rendering", "dreaming"}) {
    CHECK_FALSE(read_headshot(json::parse(std::string(R"({"id":"c1","status":")") + status + "\"}")).over);
  }
  CHECK(read_headshot(json::parse(R"({"id":"../x"})")).id.empty());
  CHECK(read_headshot(json::parse(R"([1])")).id.empty());
  CHECK(read_headshot(json::parse(R"({"id":"c1","status":"error","error":"none"})")).verdict.code == "magic_hour_failed");
}

TEST_CASE("magic hour: where an upload goes, or that the answer is something else") {
  CHECK(read_upload(json::parse(R"({"items":[{"upload_url":"https://u","file_path":"api-assets/1.jpg"}]})"))->file_path == "api-assets/1.jpg");
  for (const char* answer : {"{}", "[]", R"({"items":[]})", R"({"items":[{}]})", R"({"items":["x"]})", R"({"items":{"a":1}})"}) CHECK_FALSE(read_upload(json::parse(answer)));
}

/// Time passes as soon as somebody waits for it.
class HastyClock final : public Clock {
 public:
  Mono mono() const override { return now; }
  std::chrono::system_clock::time_point wall() const override { return {}; }
  boost::asio::awaitable<void> sleep_until(Mono when) override {
    now = std::max(now, when);
    co_return;
  }
  Mono now{1h};
};

constexpr const char* kMagic =
    "kinds:\n  generation:\n    program: /bin/true\n    magic_hour: {api_key: mh-secret, base_url: https://api.example, credit: 0.0012}\n";

struct Studio {
  Studio() : bench(kMagic), transactions(bench.clock) {
    std::string name = "/tmp/rowcrew-images-XXXXXX";
    folder = ::mkdtemp(name.data());
    db.answer = [](const rowcrew::testing::FakeDb::Asked&) { return Rows(1); };
    bench.node = &node;
    bench.job.claim_token = 77;
    work.source = "/in/a.jpg";
    work.target = folder + "/a.jpg";
    work.workflow = "{}";
    start();
  }
  ~Studio() { fs::remove_all(folder); }
  void start() { provider = make_magic_hour_provider(deps); }
  Outcome run(std::chrono::milliseconds left = 1h) {
    Generating handler(*provider, work);
    JobContext context(bench.job, bench.log, clock.now + left, clock.now, &node);
    Outcome outcome = Cancelled("did not run");
    auto body = [&]() -> boost::asio::awaitable<void> { outcome = co_await handler.run(context); };
    rowcrew::testing::run(bench.io, body());
    return outcome;
  }
  Outcome again(int crashes = 0) {
    ++bench.job.claim_token;
    bench.job.crashes += crashes;
    return run();
  }
  void uploads() {
    bench.http.answer(200, {}, R"({"items":[{"upload_url":"https://up.example/1?sig=x","file_path":"api-assets/1.jpg"}]})");
    bench.http.answer(200);
  }
  void creates(const std::string& id = "c1") { bench.http.answer(200, {}, R"({"id":")" + id + R"(","credits_charged":50})"); }
  void state(const std::string& status, const std::string& more = "") {
    bench.http.answer(200, {}, R"({"id":"c1","status":")" + status + R"(","credits_charged":50)" + more + "}");
  }
  void completes() { state("complete", R"(,"downloads":[{"url":"https://videos.example/x"}])"); }
  void ends(const std::string& code) { bench.http.answer(200, {}, R"({"id":"c1","status":"error","credits_charged":0,"error":{"code":")" + code + R"(","message":"no"}})"); }
  std::size_t asked(const std::string& part) const {
    return static_cast<std::size_t>(std::count_if(bench.http.requests.begin(), bench.http.requests.end(), [&](const HttpRequest& r) { return r.url.find(part) != r.url.npos; }));
  }
  std::vector<std::vector<std::string>> booked() const {
    std::vector<std::vector<std::string>> rows;
    for (const auto& call : db.asked) {
      if (call.name != "provider/book_call") continue;
      rows.push_back({call.params.at(7).value_or(""), *call.params.at(8), *call.params.at(10), *call.params.at(11)});
    }
    return rows;
  }

  std::string folder;
  rowcrew::testing::KindBench bench;
  rowcrew::testing::FakeDb db;
  ImageChild children;
  KeptProgress progress;
  NoLease lease;
  rowcrew::testing::FakeJobTransactions transactions;
  HastyClock clock;
  JobContext::Node node{lease, transactions, &progress};
  Deps deps{db, bench.ports, bench.http, bench.mail, children, clock, bench.random, bench.log, bench.kinds};
  Work work;
  std::unique_ptr<Provider> provider;
};

using Rows4 = std::vector<std::vector<std::string>>;

TEST_CASE("magic hour: a spent budget makes jobs wait before anything is uploaded") {
  Studio studio;
  studio.db.answer = [](const rowcrew::testing::FakeDb::Asked& asked) {
    if (asked.name != "provider/budget") return Rows(1);
    return rowcrew::testing::one_row({"0", "0", "5000", std::nullopt});
  };
  const Outcome waits = studio.run();
  REQUIRE(std::holds_alternative<Snooze>(waits));
  CHECK(std::get<Snooze>(waits).after == 5s);
  CHECK(studio.bench.http.requests.empty());
}

TEST_CASE("magic hour: a headshot from the source to the target, our key with the API alone") {
  Studio studio;
  studio.uploads();
  studio.creates();
  studio.state("queued");
  studio.state("rendering");
  studio.completes();
  studio.bench.http.answer(200, {}, "PICTURE");
  const Outcome outcome = studio.run();
  REQUIRE(std::holds_alternative<Completed>(outcome));
  CHECK(json::parse(std::get<Completed>(outcome).result)["external_id"] == "c1");
  CHECK(studio.booked() == Rows4{{"c1", "done", "60000", "f"}});
  const auto& requests = studio.bench.http.requests;
  REQUIRE(requests.size() == 7);
  CHECK(requests[1].method == "PUT");
  CHECK(requests[1].url == "https://up.example/1?sig=x");
  CHECK(requests[1].headers.empty());
  CHECK(studio.bench.http.files[1] == "SOURCE");
  CHECK(json::parse(requests[2].body) == json::parse(R"({"name":"job_queue:018f4e2a-0000-7000-8000-000000000001:1","assets":{"image_file_path":"api-assets/1.jpg"}})"));
  CHECK(requests[6].headers.empty());
  CHECK(requests[6].url == "https://videos.example/x");
}

TEST_CASE("magic hour: whoever goes on after a crash follows the headshot that is paid for") {
  Studio studio;
  studio.uploads();
  studio.creates();
  studio.bench.http.fail(std::logic_error("here it dies"));
  CHECK_THROWS_AS(studio.run(), std::logic_error);
  studio.start();
  studio.completes();
  studio.bench.http.answer(200, {}, "PICTURE");
  CHECK(std::holds_alternative<Completed>(studio.again(1)));
  CHECK(studio.asked("/v1/ai-headshot-generator") == 1);
  CHECK(studio.booked() == Rows4{{"c1", "done", "60000", "f"}});
}

TEST_CASE("magic hour: a headshot that was asked for and never told of is booked as lost and asked for once more") {
  Studio studio;
  studio.uploads();
  studio.bench.http.fail(TransientError("http_timeout", "http: no"));
  const Outcome first = studio.run();
  REQUIRE(std::holds_alternative<Retry>(first));
  studio.bench.http.fail(TransientError("http_transfer", "http: no"));
  CHECK(failed_code(studio.again()) == "magic_hour_lost");
  const std::string name = "job_queue:018f4e2a-0000-7000-8000-000000000001:";
  CHECK(studio.booked() == Rows4{{name + "1", "lost", "60000", "t"}, {name + "2", "lost", "60000", "t"}});
  CHECK(studio.asked("/v1/files/upload-urls") == 1);
}

TEST_CASE("magic hour: 502 without an id began nothing, and costs nothing") {
  Studio studio;
  studio.uploads();
  studio.bench.http.answer(502, {}, "<html>");
  const Outcome outcome = studio.run();
  REQUIRE(std::holds_alternative<Retry>(outcome));
  CHECK(std::get<Retry>(outcome).after == 45s);
  CHECK(studio.booked().empty());
}

TEST_CASE("magic hour: a failure is given back by the provider and not booked, one that may pass is tried once more") {
  Studio face;
  face.uploads();
  face.creates();
  face.ends("no_source_face");
  CHECK(failed_code(face.run()) == "magic_hour_no_source_face");
  CHECK(face.booked().empty());

  Studio slow;
  slow.uploads();
  slow.creates();
  slow.ends("processing_timeout");
  slow.creates("c2");
  slow.ends("unknown_error");
  CHECK(failed_code(slow.run()) == "magic_hour_unknown_error");
  CHECK(slow.asked("/v1/ai-headshot-generator") == 2);
}

TEST_CASE("magic hour: no credits and a refused key wait, a slow headshot is gone on with") {
  Studio studio;
  studio.uploads();
  studio.bench.http.answer(402, {}, R"({"message":"Payment required"})");
  CHECK(std::holds_alternative<Snooze>(studio.run()));
  CHECK(studio.bench.log.lines("provider.closed").at(0).field("code") == "magic_hour_quota");
  studio.clock.now += 30s;
  studio.creates();
  for (int i = 0; i < 41 + 48 + 1; ++i) studio.state("rendering");
  const Outcome slow = studio.again();
  REQUIRE(std::holds_alternative<Retry>(slow));
  CHECK(std::get<Retry>(slow).code == "magic_hour_slow");
}

TEST_CASE("magic hour: a headshot that outlasts the job's deadline is left before it, and booked when it is over") {
  Studio studio;
  studio.uploads();
  studio.creates();
  for (int i = 0; i < 7; ++i) studio.state("rendering");
  const Outcome slow = studio.run(30s);
  REQUIRE(std::holds_alternative<Retry>(slow));
  CHECK(std::get<Retry>(slow).code == "magic_hour_slow");
  CHECK(studio.booked().empty());
  studio.completes();
  studio.bench.http.answer(200, {}, "PICTURE");
  CHECK(std::holds_alternative<Completed>(studio.again()));
  CHECK(studio.booked() == Rows4{{"c1", "done", "60000", "f"}});
}

TEST_CASE("magic hour: a link that has expired is asked for anew, a headshot that is unknown is lost") {
  Studio studio;
  studio.uploads();
  studio.creates();
  studio.completes();
  studio.bench.http.answer(403);
  studio.completes();
  studio.bench.http.answer(200, {}, "PICTURE");
  CHECK(std::holds_alternative<Completed>(studio.run()));

  Studio unknown;
  unknown.uploads();
  unknown.creates();
  for (int i = 0; i < 3; ++i) unknown.bench.http.answer(404, {}, R"({"message":"Not found"})");
  unknown.creates("c2");
  unknown.completes();
  unknown.bench.http.answer(200, {}, "PICTURE");
  CHECK(std::holds_alternative<Completed>(unknown.run()));
  CHECK(unknown.booked() == Rows4{{"c1", "lost", "60000", "f"}, {"c2", "done", "60000", "f"}});
}

TEST_CASE("magic hour: a preset takes words only where it has a place for them, and a source always") {
  Work work;
  work.source = "/in/a.jpg";
  work.workflow = "{}";
  CHECK(headshot_order(work).prompt.empty());
  work.prompt = "with a hat";
  CHECK_THROWS_AS(headshot_order(work), PermanentError);
  work.workflow = R"({"prompt":"{prompt}, studio light"})";
  CHECK(headshot_order(work).prompt == "with a hat, studio light");
  work.source.clear();
  CHECK_THROWS_AS(headshot_order(work), PermanentError);
  work.source = "/in/a.jpg";
  work.workflow = R"({"style":{}})";
  CHECK_THROWS_AS(headshot_order(work), PermanentError);
}

}  // namespace
}  // namespace rowcrew::generation
