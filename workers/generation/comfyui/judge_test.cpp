#include "judge.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "trail.hpp"

namespace rowcrew::generation::comfyui {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using Act = ProviderVerdict::Act;

const Asked kAsked("gpu1:8188", "a dog in the rain");
constexpr const char* kId = "018f4e2a-0000-8000-8000-000000000001";

Preset preset() {
  Preset made;
  made.source = Slot("10", "image");
  made.prompt = Slot("6", "text");
  made.output = "9";
  return made;
}

HttpResponse answered(int status, const std::string& body = "{}") {
  HttpResponse response;
  response.status = status;
  response.body = body;
  return response;
}

std::string word_of(const ProviderVerdict& verdict) {
  static const char* const kActs[] = {"answered", "wait", "shut", "again", "fail"};
  return std::string(kActs[static_cast<int>(verdict.act)]) + " " + verdict.code;
}

TEST_CASE("comfyui judge: an answer by its status") {
  const auto judged = [](int status) { return word_of(judge_answer(answered(status), kAsked, 1, {})); };
  CHECK(judged(200) == "answered ");
  CHECK(judged(400) == "fail comfyui_http_400");
  CHECK(judged(401) == "shut comfyui_refuses_us");
  CHECK(judged(403) == "shut comfyui_refuses_us");
  CHECK(judged(404) == "shut comfyui_not_comfyui");
  CHECK(judged(405) == "shut comfyui_not_comfyui");
  CHECK(judged(408) == "wait comfyui_away");
  CHECK(judged(413) == "fail comfyui_too_large");
  CHECK(judged(429) == "wait comfyui_rate_limited");
  CHECK(judged(500) == "again comfyui_http_500");
  CHECK(judged(502) == "wait comfyui_away");
  CHECK(judged(503) == "wait comfyui_away");
  CHECK(judged(504) == "wait comfyui_away");
  CHECK(judge_answer(answered(500), kAsked, 1, {}).message == "comfyui gpu1:8188: answered 500");
}

TEST_CASE("comfyui judge: silence is a server that is away, unless it is our own doing") {
  for (const char* code : {"http_connect", "http_dns", "http_tls", "http_timeout", "http_transfer"}) {
    CHECK(word_of(judge_silence(TransientError(code, "x"), kAsked, 1)) == "wait comfyui_away");
  }
  CHECK(judge_silence(TransientError("http_connect", "x"), kAsked, 1).wait == 1s);
  CHECK(judge_silence(TransientError("http_connect", "x"), kAsked, 3).wait == 4s);
  CHECK(judge_silence(TransientError("http_connect", "x"), kAsked, 99).wait == 15s);
  const ProviderVerdict refused = judge_silence(PermanentError("egress_refused", "x"), kAsked, 1);
  CHECK(word_of(refused) == "shut comfyui_egress_refused");
  CHECK(refused.message.find("egress.allow") != std::string::npos);
  CHECK(word_of(judge_silence(TransientError("http_disk", "x"), kAsked, 1)) == "again http_disk");
  CHECK(word_of(judge_silence(PermanentError("http_body_too_large", "x"), kAsked, 1)) == "fail http_body_too_large");
}

json node_error(const std::string& type, const std::string& input, const std::string& details, const std::string& output = "9") {
  return {{"class_type", "LoadImage"},
          {"dependent_outputs", json::array({output})},
          {"errors", json::array({{{"type", type}, {"details", details}, {"extra_info", {{"input_name", input}}}}})}};
}

Submission refused(const std::string& type, const json& node_errors, const std::string& message = "m") {
  json body;
  body["error"] = {{"type", type}, {"message", message}, {"details", ""}};
  body["node_errors"] = node_errors;
  return judge_submission(answered(400, body.dump()), kId, preset(), kAsked, 1, {});
}

TEST_CASE("comfyui judge: a graph is refused with the nodes that are at fault") {
  json errors;
  errors["4"] = node_error("value_not_in_list", "ckpt_name", "ckpt_name: 'x' not in ['a']");
  const Submission model = refused("prompt_outputs_failed_validation", errors);
  CHECK(model.what == Submission::What::refused);
  CHECK(word_of(model.verdict) == "fail comfyui_graph_refused");
  CHECK(model.verdict.message == "comfyui gpu1:8188: refuses the graph: node 4 LoadImage: value_not_in_list: ckpt_name: 'x' not in ['a']");
  CHECK(refused("prompt_no_outputs", json::object(), "Prompt has no outputs").verdict.message ==
        "comfyui gpu1:8188: refuses the graph: prompt_no_outputs: Prompt has no outputs");
  for (const char* type : {"no_prompt", "invalid_prompt", "invalid_prompt_id"}) {
    CHECK(word_of(refused(type, json::object()).verdict) == "fail comfyui_graph_refused");
  }
  for (const auto& [type, words] : {std::pair("missing_node_type", "Node 'X' not found"), std::pair("invalid_prompt", "node X does not exist.")}) {
    const Submission lacking = refused(type, json::object(), words);
    CHECK(lacking.what == Submission::What::node_missing);
    CHECK(word_of(lacking.verdict) == "fail comfyui_node_missing");
  }
  // Both shapes of `error`, and none.
  const auto plain = [](int status, const char* body) { return judge_submission(answered(status, body), kId, preset(), kAsked, 1, {}); };
  CHECK(plain(400, R"({"error": "odd"})").verdict.message == "comfyui gpu1:8188: refuses the graph: odd");
  CHECK(word_of(plain(400, "<html>").verdict) == "fail comfyui_graph_refused");
  CHECK(plain(409, R"({"error": "prompt_id already exists"})").what == Submission::What::known);
  CHECK(word_of(plain(500, "500 Internal Server Error").verdict) == "again comfyui_http_500");
  CHECK(word_of(plain(200, "<html>").verdict) == "shut comfyui_not_comfyui");
}

TEST_CASE("comfyui judge: a picture that the server does not find is uploaded again") {
  for (const char* type : {"value_not_in_list", "custom_validation_failed"}) {
    json errors;
    errors["10"] = node_error(type, "image", "image - Invalid image file: up.png");
    CHECK(refused("prompt_outputs_failed_validation", errors).what == Submission::What::upload_again);
    errors["10"] = node_error(type, "mask", "mask");
    CHECK(refused("prompt_outputs_failed_validation", errors).what == Submission::What::refused);
  }
  json errors;
  errors["10"] = node_error("required_input_missing", "image", "image");
  CHECK(refused("prompt_outputs_failed_validation", errors).what == Submission::What::refused);
}

TEST_CASE("comfyui judge: the job's words do not come back in a message") {
  json errors;
  errors["6"] = node_error("invalid_input_type", "text", "text, something of a prompt");
  CHECK(refused("prompt_outputs_failed_validation", errors).verdict.message ==
        "comfyui gpu1:8188: refuses the graph: node 6 LoadImage: invalid_input_type");
  errors.clear();
  errors["4"] = node_error("value_not_in_list", "x", "x: 'A dog; a dog in the rain' not in []");
  CHECK(refused("prompt_outputs_failed_validation", errors).verdict.message.find("dog") == std::string::npos);
}

TEST_CASE("comfyui judge: errors of outputs that nobody wants are no trouble, of ours the run is taken back") {
  json body;
  body["prompt_id"] = kId;
  body["node_errors"] = json::object();
  const auto judged = [&] { return judge_submission(answered(200, body.dump()), kId, preset(), kAsked, 1, {}); };
  CHECK(judged().what == Submission::What::accepted);
  body["node_errors"]["12"] = node_error("bad_linked_input", "x", "x", "13");
  CHECK(judged().what == Submission::What::accepted);
  body["node_errors"]["12"] = node_error("bad_linked_input", "x", "x", "9");
  CHECK(judged().what == Submission::What::refused);
  CHECK(judged().queued == kId);
}

TEST_CASE("comfyui judge: a server that names runs itself is too old to be asked for them") {
  const Submission named = judge_submission(answered(200, R"({"prompt_id": "other", "number": 1, "node_errors": {}})"), kId, preset(), kAsked, 1, {});
  CHECK(named.what == Submission::What::refused);
  CHECK(word_of(named.verdict) == "shut comfyui_too_old");
  CHECK(named.queued == "other");
}

TEST_CASE("comfyui judge: the queue tells the place, whatever else its items hold") {
  const std::string other = R"("018f4e2a-0000-8000-8000-00000000000f", {"1": {"class_type": "X"}}, {"a": 1}, ["9"], {"secret": 1}])";
  const std::string ours = "\"" + std::string(kId) + R"(", {"3": {"inputs": {}}}, {}, ["9"]])";
  const auto found = [](const std::string& running, const std::string& pending) {
    return find_in_queue(R"({"queue_running": [)" + running + R"(], "queue_pending": [)" + pending + "]}", kId);
  };
  CHECK(found("", "")->place == Place::absent);
  CHECK(found("[4, " + ours, "")->place == Place::running);
  const auto third = found("[1, " + other, "[9, " + ours + ",[2.5, " + other + ",[12, " + other);
  REQUIRE(third);
  CHECK(third->place == Place::pending);
  CHECK(third->rank == 2);
  CHECK(say_place(*third, "gpu1") == "3rd in the queue of gpu1");
  for (const char* odd : {"", "[]", "{}", R"({"queue_running": 1, "queue_pending": []})", "<html>"}) CHECK_FALSE(find_in_queue(odd, kId));
  CHECK(find_in_queue(R"({"queue_running": [1, [], ["x"]], "queue_pending": [null]})", kId)->place == Place::absent);
}

TEST_CASE("comfyui judge: places as people say them") {
  const auto said = [](std::size_t rank) {
    Sight sight;
    sight.place = Place::pending;
    sight.rank = rank;
    return say_place(sight, "g");
  };
  CHECK(said(0) == "next on g");
  CHECK(said(1) == "2nd in the queue of g");
  CHECK(said(3) == "4th in the queue of g");
  CHECK(said(10) == "11th in the queue of g");
  CHECK(said(20) == "21st in the queue of g");
  CHECK(said(110) == "111th in the queue of g");
}

json entry(const std::string& word, const json& messages, const json& outputs = json::object()) {
  json made;
  made["status"] = {{"status_str", word}, {"completed", word == "success"}, {"messages", messages}};
  made["outputs"] = outputs;
  return made;
}

json message(const char* name, std::int64_t at, json more = json::object()) {
  more["timestamp"] = at;
  return json::array({name, more});
}

json image(const char* name, const char* type = "output") { return {{"filename", name}, {"subfolder", "s"}, {"type", type}}; }

TEST_CASE("comfyui judge: a history is read without the graph in it") {
  const std::string body = "{\"" + std::string(kId) + R"(": {"prompt": [1, "x", {"3": {}}], "outputs": {"9": {"images": []}}, "status": null, "meta": {"9": {}}}})";
  const auto found = find_in_history(body, kId);
  REQUIRE(found);
  CHECK(*found == json::parse(R"({"outputs": {"9": {"images": []}}, "status": null})"));
  CHECK(find_in_history("{}", kId)->is_null());
  CHECK_FALSE(find_in_history("[]", kId));
  CHECK_FALSE(find_in_history("<html>", kId));
}

TEST_CASE("comfyui judge: a run that succeeded has a file of the wanted node") {
  json outputs;
  outputs["9"]["animated"] = json::array({false});
  outputs["9"]["images"] = json::array({image("preview.png", "temp"), image("a b.png"), image("second.png")});
  outputs["8"]["images"] = json::array({image("other.png")});
  const json messages = json::array({message("execution_start", 1000), message("execution_success", 3500)});
  const RunEnd end = judge_run(entry("success", messages, outputs), preset(), kAsked);
  CHECK(end.what == RunEnd::What::done);
  CHECK(end.file.name == "a b.png");
  CHECK(end.took == 2500ms);
  CHECK(view_query(end.file) == "filename=a%20b.png&subfolder=s&type=output");
  json old = entry("", json::array(), outputs);
  old["status"] = nullptr;
  CHECK(judge_run(old, preset(), kAsked).what == RunEnd::What::done);
  CHECK_FALSE(judge_run(old, preset(), kAsked).took);
  outputs["9"]["images"] = json::array({image("preview.png", "temp")});
  CHECK(judge_run(entry("success", messages, outputs), preset(), kAsked).code == "comfyui_no_output");
  CHECK(judge_run(entry("success", messages), preset(), kAsked).code == "comfyui_no_output");
  outputs["9"]["gifs"] = json::array({image("a.gif")});
  CHECK(judge_run(entry("success", messages, outputs), preset(), kAsked).file.name == "a.gif");
}

TEST_CASE("comfyui judge: how a run failed decides what is done about it") {
  const auto failed = [](const char* type, const char* said) {
    const json more = {{"exception_type", type}, {"exception_message", said}, {"node_id", "3"}, {"node_type", "KSampler"}};
    return judge_run(entry("error", json::array({message("execution_start", 1000), message("execution_error", 1700, more)})), preset(), kAsked);
  };
  for (const char* type : {"torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError"}) {
    CHECK(failed(type, "Allocation on device").what == RunEnd::What::out_of_memory);
    CHECK(failed(type, "Allocation on device").code == "comfyui_out_of_memory");
  }
  CHECK(failed("RuntimeError", "CUDA out of memory. Tried").what == RunEnd::What::out_of_memory);
  CHECK(failed("RuntimeError", "CUDA error: an illegal memory access").what == RunEnd::What::broken);
  CHECK(failed("RuntimeError", "device-side assert triggered").code == "comfyui_broken");
  const RunEnd plain = failed("FileNotFoundError", "no model");
  CHECK(plain.what == RunEnd::What::failed);
  CHECK(plain.code == "comfyui_run_failed");
  CHECK(plain.message == "comfyui gpu1:8188: failed in node 3 KSampler: FileNotFoundError: no model");
  CHECK(plain.took == 700ms);
  CHECK(failed("ValueError", "cannot read 'a dog in the rain'").message.find("dog") == std::string::npos);
  const RunEnd ended = judge_run(entry("error", json::array({message("execution_interrupted", 5)})), preset(), kAsked);
  CHECK(ended.what == RunEnd::What::interrupted);
  CHECK(ended.code == "comfyui_interrupted");
  CHECK(judge_run(entry("error", json::array()), preset(), kAsked).code == "comfyui_run_failed");
}

TEST_CASE("comfyui judge: an upload has the name that the server gave it") {
  CHECK(uploaded_as(R"({"name": "a (1).png", "subfolder": "", "type": "input"})") == "a (1).png");
  CHECK(uploaded_as(R"({"name": "a.png", "subfolder": "s", "asset": {}})") == "s/a.png");
  CHECK_FALSE(uploaded_as("{}"));
  CHECK_FALSE(uploaded_as("<html>"));
}

TEST_CASE("comfyui trail: names are UUIDs of the job, its target and the run, and always the same") {
  const std::string first = prompt_id("job_queue:1", "/out/a.png", 1);
  CHECK(first == prompt_id("job_queue:1", "/out/a.png", 1));
  REQUIRE(first.size() == 36);
  for (std::size_t i = 0; i < first.size(); ++i) {
    const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
    CHECK((is_dash ? first[i] == '-' : std::string("0123456789abcdef").find(first[i]) != std::string::npos));
  }
  CHECK(first[14] == '8');
  CHECK(std::string("89ab").find(first[19]) != std::string::npos);
  for (const std::string& other : {prompt_id("job_queue:1", "/out/a.png", 2), prompt_id("job_queue:2", "/out/a.png", 1),
                                   prompt_id("job_queue:1", "/out/b.png", 1), client_id("job_queue:1", "/out/a.png")}) {
    CHECK(other != first);
  }
  CHECK(seed_of("a") != seed_of("b"));
  CHECK(seed_of("a") == seed_of("a"));
}

TEST_CASE("comfyui trail: comes back as it was left, and anything else is an empty one") {
  Trail trail;
  trail.server = "http://gpu1:8188";
  trail.run = 3;
  trail.accepted = true;
  trail.ran_ms = 1500;
  trail.booked = 2;
  trail.out_of_memory = 1;
  CHECK(to_checkpoint(parse_trail(to_checkpoint(trail))) == to_checkpoint(trail));
  for (const char* odd : {"", "7", "{}", R"({"comfyui": []})", R"({"comfyui": {"run": -4, "accepted": true, "ran_ms": "x"}})"}) {
    CAPTURE(odd);
    CHECK(to_checkpoint(parse_trail(odd)) == to_checkpoint(Trail()));
  }
}

}  // namespace
}  // namespace rowcrew::generation::comfyui
