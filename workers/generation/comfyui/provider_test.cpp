#include "provider.hpp"

#include <doctest/doctest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include <rowcrew/error.hpp>
#include "support/fake_db.hpp"
#include "support/fake_job_transactions.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::generation {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using namespace comfyui;

/// Time passes by being waited for.
class PassingClock final : public Clock {
 public:
  Mono mono() const override { return now; }
  std::chrono::system_clock::time_point wall() const override { return {}; }
  boost::asio::awaitable<void> sleep_until(Mono when) override {
    now = std::max(now, when);
    if (slept) slept();
    const auto executor = co_await boost::asio::this_coro::executor;
    co_await boost::asio::post(executor, boost::asio::use_awaitable);
  }
  Mono now{1h};
  std::function<void()> slept;
};

/// As much of a server as an execution sees, with one run at most.
class OneServer final : public HttpClient {
 public:
  boost::asio::awaitable<HttpResponse> send(HttpRequest request) override {
    const std::string path = request.url.substr(request.url.find('/', 8));
    calls.push_back(request.method + " " + path.substr(0, path.find('?')).substr(0, 9));
    if (away) throw TransientError("http_connect", "refused");
    HttpResponse response;
    response.status = 200;
    response.body = "{}";
    if (path == "/queue" && request.method == "GET") {
      json queue = {{"queue_running", json::array()}, {"queue_pending", json::array()}};
      if (place == "running") queue["queue_running"].push_back(json::array({1, id, json::object()}));
      if (place == "pending") queue["queue_pending"].push_back(json::array({1, id, json::object()}));
      response.body = queue.dump();
      if (!after.empty()) place = std::exchange(after, "");
    } else if (path.starts_with("/history/") && place == "ended" && path.ends_with(id)) {
      json history;
      history[id] = entry;
      response.body = history.dump();
    } else if (path == "/prompt") {
      id = json::parse(request.body)["prompt_id"].get<std::string>();
      response.status = submit_status;
      if (submit_status == 200) place = "pending";
      json answer;
      answer["prompt_id"] = id;
      response.body = answer.dump();
      ++posts;
      if (silent) throw TransientError("http_transfer", "the connection ended");
    } else if (path == "/interrupt") {
      interrupted = json::parse(request.body)["prompt_id"].get<std::string>();
    } else if (path.starts_with("/view")) {
      response.status = view_status;
    }
    co_return response;
  }

  bool away = false;
  bool silent = false;  ///< takes prompts and says nothing
  int submit_status = 200;
  int view_status = 200;
  std::string place;
  std::string after;  ///< the place after the next look
  std::string id;
  json entry;
  int posts = 0;
  std::string interrupted;
  std::vector<std::string> calls;
};

struct Said final : JobProgress {
  void report(const Job&, std::optional<int>, std::optional<std::string> note, std::optional<std::string> checkpoint) override {
    if (note) notes.push_back(*note);
    if (checkpoint) last = *checkpoint;
  }
  boost::asio::awaitable<std::string> last_checkpoint(const Job&) override { co_return last; }
  std::string last;
  std::vector<std::string> notes;
};

struct Stop final : StopView {
  bool cancelled() const override { return asked; }
  bool asked = false;
};

json ended(const char* exception = nullptr, const char* said = "m") {
  json messages = json::array({json::array({"execution_start", {{"timestamp", 1000}}})});
  if (exception == nullptr) {
    messages.push_back(json::array({"execution_success", {{"timestamp", 3000}}}));
  } else if (std::string(exception) == "interrupted") {
    messages.push_back(json::array({"execution_interrupted", {{"timestamp", 3000}}}));
  } else {
    messages.push_back(json::array({"execution_error", {{"timestamp", 3000}, {"exception_type", exception}, {"exception_message", said}}}));
  }
  json made;
  made["status"] = {{"status_str", exception == nullptr ? "success" : "error"}, {"messages", messages}};
  made["outputs"]["9"]["images"] = json::array({{{"filename", "a.png"}, {"subfolder", ""}, {"type", "output"}}});
  return made;
}

struct Scene {
  explicit Scene(const std::string& servers = R"(["http://gpu1:8188"])")
      : bench("kinds: {generation: {program: /bin/true, comfyui: {servers: " + servers + ", timeout: 5m, price_per_second: 0.01}}}"), provider(deps) {
    bench.job.claim_token = 77;
    db.answer = [](const testing::FakeDb::Asked&) { return Rows(1); };
    work.target = "/out/a.png";
    work.preset = "drawn";
    work.prompt = "a dog";
    work.workflow = R"({"graph": {"6": {"class_type": "T", "inputs": {"text": "x"}}, "9": {"class_type": "S", "inputs": {}}},
      "prompt": {"node": "6", "input": "text"}, "output": "9"})";
    http.entry = ended();
  }

  /// One execution; nullopt: it was stopped.
  std::optional<Outcome> run(std::chrono::milliseconds left = 1h) {
    const JobContext::Node node{lease, transactions, &said, &stop};
    JobContext context(bench.job, bench.log, clock.now + left, clock.now, &node);
    std::optional<Outcome> outcome;
    std::exception_ptr error;
    auto body = [&]() -> boost::asio::awaitable<void> { outcome = co_await provider.generate(context, work); };
    boost::asio::co_spawn(bench.io, body(), boost::asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e) { error = e; }));
    bench.io.restart();
    bench.io.run();
    try {
      if (error) std::rethrow_exception(error);
    } catch (const boost::system::system_error&) {
      return std::nullopt;
    }
    return outcome;
  }
  void developed() {
    ChildResult result;
    result.output = R"({"format":"png","width":4,"height":5,"sha256":"ab","bytes":10})";
    bench.children.end(result);
    bench.children.end(result);
  }
  long count(const std::string& call) const { return std::count(http.calls.begin(), http.calls.end(), call); }

  testing::KindBench bench;
  testing::FakeDb db;
  PassingClock clock;
  OneServer http;
  Said said;
  Stop stop;
  testing::EndlessLease lease;
  testing::FakeJobTransactions transactions{clock};
  boost::asio::cancellation_signal signal;
  Deps deps{db, bench.ports, http, bench.mail, bench.children, clock, bench.random, bench.log, bench.kinds};
  ComfyuiProvider provider;
  Work work;
};

std::string word_of(const std::optional<Outcome>& outcome) {
  if (!outcome) return "stopped";
  if (const auto* retry = std::get_if<Retry>(&*outcome)) return "retry " + retry->code;
  if (const auto* failed = std::get_if<Failed>(&*outcome)) return "failed " + failed->code;
  if (std::holds_alternative<Snooze>(*outcome)) return "snooze";
  return std::holds_alternative<Completed>(*outcome) ? "completed" : "other";
}

TEST_CASE("comfyui: a graph is sent once, followed, fetched and developed, and booked with its seconds") {
  Scene scene;
  scene.developed();
  int sleeps = 0;
  scene.clock.slept = [&] {
    if (++sleeps == 2) scene.http.place = "running";
    if (sleeps == 4) scene.http.place = "ended";
  };
  const auto outcome = scene.run();
  REQUIRE(word_of(outcome) == "completed");
  CHECK(scene.http.posts == 1);
  CHECK(json::parse(std::get<Completed>(*outcome).result)["prompt_id"] == scene.http.id);
  CHECK(scene.said.notes == std::vector<std::string>{"next on gpu1:8188", "running on gpu1:8188", "fetching the picture from gpu1:8188"});
  REQUIRE(scene.db.asked.size() == 1);
  const auto& booked = scene.db.asked[0].params;
  CHECK(booked.at(5) == "comfyui");
  CHECK(booked.at(6) == "drawn");
  CHECK(booked.at(7) == scene.http.id);
  CHECK(booked.at(8) == "done");
  CHECK(booked.at(9) == R"({"gpu_ms":2000})");
  CHECK(booked.at(10) == "20000");
}

TEST_CASE("comfyui: what an earlier execution began is adopted, and not paid again") {
  for (const char* place : {"pending", "running", "ended"}) {
    Scene scene;
    scene.developed();
    scene.http.id = prompt_id("job_queue:" + scene.bench.job.id, "/out/a.png", 1);
    scene.http.place = place;
    scene.clock.slept = [&] { scene.http.place = "ended"; };
    CHECK(word_of(scene.run()) == "completed");
    CHECK(scene.http.posts == 0);
  }
}

TEST_CASE("comfyui: an execution that left no word is looked for on every server") {
  Scene scene(R"(["http://gpu1:8188", "http://gpu2:8188"])");
  scene.bench.job.crashes = 1;
  scene.developed();
  scene.http.id = prompt_id("job_queue:" + scene.bench.job.id, "/out/a.png", 1);
  scene.http.after = "ended";  // the first one that is asked has nothing in its queue
  CHECK(word_of(scene.run()) == "completed");
  CHECK(scene.http.posts == 0);
}

TEST_CASE("comfyui: a lost answer is looked up before the graph is sent again") {
  Scene scene;
  scene.developed();
  scene.http.silent = true;
  scene.clock.slept = [&] { scene.http.place = "ended"; };
  CHECK(word_of(scene.run()) == "completed");
  CHECK(scene.http.posts == 1);
}

TEST_CASE("comfyui: a server that never answers a submission is given up after three") {
  Scene scene;
  scene.http.silent = true;
  scene.http.submit_status = 500;  // it takes none of them
  CHECK(word_of(scene.run()) == "retry comfyui_no_answer");
  CHECK(scene.http.posts == 3);
}

TEST_CASE("comfyui: a run that the server has lost is another's, with another name") {
  Scene scene;
  scene.clock.slept = [&] {
    if (scene.http.place == "pending") scene.http.place = "running";
    else scene.http.place = "";
  };
  CHECK(word_of(scene.run()) == "retry comfyui_lost");
  const std::string first = scene.http.id;
  CHECK(parse_trail(scene.said.last).run == 2);
  CHECK(scene.db.asked.at(0).params.at(8) == "lost");
  scene.developed();
  scene.clock.slept = [&] { scene.http.place = "ended"; };
  CHECK(word_of(scene.run()) == "completed");
  CHECK(scene.http.id != first);
  CHECK(scene.http.posts == 2);
}

TEST_CASE("comfyui: absent once is not lost") {
  Scene scene;
  scene.developed();
  int sleeps = 0;
  scene.clock.slept = [&] {
    ++sleeps;
    scene.http.place = sleeps == 2 ? "" : sleeps < 4 ? "running" : "ended";
  };
  CHECK(word_of(scene.run()) == "completed");
}

TEST_CASE("comfyui: a server that is away costs no attempt, and others are not sent there meanwhile") {
  Scene scene;
  scene.http.away = true;
  CHECK(word_of(scene.run()) == "snooze");
  CHECK(scene.http.calls.size() == 1);
  CHECK(word_of(scene.run()) == "snooze");
  CHECK(scene.http.calls.size() == 1);
  scene.http.away = false;
  scene.clock.now += 16s;
  scene.developed();
  scene.clock.slept = [&] { scene.http.place = "ended"; };
  CHECK(word_of(scene.run()) == "completed");
}

TEST_CASE("comfyui: a job stays with its server when that is away") {
  Scene scene(R"(["http://gpu1:8188", "http://gpu2:8188"])");
  scene.clock.slept = [&] { scene.http.away = true; };
  CHECK(word_of(scene.run()) == "snooze");
  CHECK(parse_trail(scene.said.last).accepted);
  scene.http.calls.clear();
  CHECK(word_of(scene.run()) == "snooze");
  CHECK(scene.http.calls.empty());
}

TEST_CASE("comfyui: what goes on over there does not end with an execution") {
  Scene scene;
  scene.clock.slept = [&] { scene.http.place = "running"; };
  CHECK(word_of(scene.run(2min)) == "snooze");
  CHECK(word_of(scene.run(2min)) == "snooze");
  CHECK(scene.http.interrupted.empty());
  CHECK(word_of(scene.run(2min)) == "retry comfyui_timeout");  // 5 minutes on the GPU
  CHECK(scene.http.interrupted == scene.http.id);
  CHECK(scene.http.posts == 1);
}

TEST_CASE("comfyui: a cancelled job ends its run, and a stopping node leaves it") {
  for (const bool is_cancelled : {true, false}) {
    Scene scene;
    scene.clock.slept = [&] {
      scene.http.place = "running";
      if (scene.stop.asked || scene.http.calls.size() < 6) return;
      scene.stop.asked = is_cancelled;
      scene.signal.emit(boost::asio::cancellation_type::terminal);
    };
    CHECK(word_of(scene.run()) == "stopped");
    CHECK(scene.http.interrupted == (is_cancelled ? scene.http.id : ""));
    CHECK(scene.count("POST /queue") == (is_cancelled ? 1 : 0));
    CHECK(parse_trail(scene.said.last).run == (is_cancelled ? 2 : 1));
  }
}

TEST_CASE("comfyui: budgets of what ends badly") {
  const auto words = [](const json& entry) {
    Scene scene;
    scene.http.entry = entry;
    scene.clock.slept = [&] { scene.http.place = "ended"; };
    std::vector<std::string> said;
    do {
      scene.http.place.clear();
      scene.clock.now += 1h;
      said.push_back(word_of(scene.run()));
    } while (said.size() < 9 && !said.back().starts_with("failed"));
    CHECK(scene.http.posts == static_cast<int>(said.size()));
    CHECK(scene.count("POST /free") == (said.back() == "failed comfyui_out_of_memory" ? 3 : 0));
    return said;
  };
  using Words = std::vector<std::string>;
  CHECK(words(ended("torch.OutOfMemoryError")) == Words{"retry comfyui_out_of_memory", "retry comfyui_out_of_memory", "failed comfyui_out_of_memory"});
  CHECK(words(ended("interrupted")) == Words{"retry comfyui_interrupted", "failed comfyui_interrupted"});
  CHECK(words(ended("ValueError")) == Words{"failed comfyui_run_failed"});
}

TEST_CASE("comfyui: a broken server is waited for, ever longer, and nobody fails for what another has broken") {
  Scene scene;
  scene.http.entry = ended("RuntimeError", "CUDA error");
  scene.clock.slept = [&] { scene.http.place = "ended"; };
  std::vector<std::chrono::milliseconds> waits;
  for (int i = 0; i < 7; ++i) {
    scene.http.place.clear();
    const auto outcome = scene.run();
    REQUIRE(word_of(outcome) == "snooze");
    waits.push_back(std::get<Snooze>(*outcome).after);
    scene.clock.now += waits.back();
  }
  CHECK(waits == std::vector<std::chrono::milliseconds>{30s, 60s, 120s, 240s, 480s, 900s, 900s});
}

TEST_CASE("comfyui: a job that breaks the server again and again, while others succeed, fails") {
  Scene scene;
  scene.clock.slept = [&] { scene.http.place = "ended"; };
  const std::string id = scene.bench.job.id;
  std::string left;
  std::vector<std::string> said;
  for (int i = 0; i < 3; ++i) {
    scene.http.place.clear();
    scene.http.entry = ended("RuntimeError", "device-side assert triggered");
    scene.said.last = left;
    scene.clock.now += 1h;
    said.push_back(word_of(scene.run()));
    left = std::exchange(scene.said.last, "");
    scene.bench.job.id = "018f4e2a-0000-7000-8000-00000000000" + std::to_string(i + 2);
    scene.http.place.clear();
    scene.http.entry = ended();
    scene.clock.now += 1h;
    scene.developed();
    CHECK(word_of(scene.run()) == "completed");
    scene.bench.job.id = id;
  }
  CHECK(said == std::vector<std::string>{"snooze", "snooze", "failed comfyui_broken"});
}

TEST_CASE("comfyui: a server error is tried three times") {
  Scene scene;
  scene.http.submit_status = 500;
  for (int i = 0; i < 3; ++i) CHECK(word_of(scene.run()) == "retry comfyui_http_500");
  CHECK(word_of(scene.run()) == "failed comfyui_http_500");
}

TEST_CASE("comfyui: a file that is gone is waited for, then the job fails and runs anew when somebody lets it") {
  Scene scene;
  scene.http.view_status = 404;
  scene.developed();
  scene.clock.slept = [&] { scene.http.place = "ended"; };
  CHECK(word_of(scene.run()) == "failed comfyui_file_missing");
  CHECK(scene.count("GET /view") == 4);
  CHECK(parse_trail(scene.said.last).run == 2);
}

}  // namespace
}  // namespace rowcrew::generation
