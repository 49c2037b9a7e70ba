#include "judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include <rowcrew/retry_after.hpp>

#include "words.hpp"

namespace rowcrew::generation::comfyui {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using std::chrono::milliseconds;
using Act = ProviderVerdict::Act;

constexpr std::size_t kMostProblems = 5;

ProviderVerdict away(const Asked& asked, const std::string& how, int times_away) {
  return {Act::wait, "comfyui_away", at_server(asked) + how, away_for(times_away)};
}

std::string problem_of_node(const std::string& id, const json& node, const Preset& preset) {
  std::string line = "node " + id + " " + text_in(node, "class_type");
  const json* errors = list_in(node, "errors");
  if (errors == nullptr || errors->empty()) return line;
  const json& first = errors->front();
  line += ": " + text_in(first, "type");
  // What was found wrong with an input of the job's words holds these words.
  const bool ours = preset.prompt && preset.prompt->node == id;
  const std::string details = ours ? std::string() : text_in(first, "details");
  return details.empty() ? line : line + ": " + details;
}

std::string problems_of(const json& body, const Preset& preset) {
  std::string line;
  if (const json* nodes = object_in(body, "node_errors")) {
    std::size_t told = 0;
    for (const auto& [id, node] : nodes->items()) {
      if (++told > kMostProblems) break;
      line += (line.empty() ? "" : "; ") + problem_of_node(id, node, preset);
    }
  }
  return line;
}

// One that a fresh upload may mend: the server's folder of inputs was emptied in between.
bool misses_upload(const json& body, const Preset& preset) {
  const json* nodes = object_in(body, "node_errors");
  if (nodes == nullptr || !preset.source) return false;
  const auto node = nodes->find(preset.source->node);
  const json* errors = node == nodes->end() ? nullptr : list_in(*node, "errors");
  if (errors == nullptr || errors->empty()) return false;
  const std::string type = text_in(errors->front(), "type");
  if (type != "value_not_in_list" && type != "custom_validation_failed") return false;
  const json* extra = object_in(errors->front(), "extra_info");
  const std::string input = extra == nullptr ? "" : text_in(*extra, "input_name");
  return input.empty() || input == preset.source->input;
}

bool concerns_output(const json& nodes, const std::string& output) {
  return std::any_of(nodes.begin(), nodes.end(), [&](const json& node) {
    const json* dependent = list_in(node, "dependent_outputs");
    return dependent == nullptr || std::find(dependent->begin(), dependent->end(), json(output)) != dependent->end();
  });
}

Submission graph_refused(const json& body, const std::string& type, const Preset& preset, const Asked& asked) {
  Submission result;
  const json* error = object_in(body, "error");
  const std::string said = error == nullptr ? text_in(body, "error") : text_in(*error, "message");
  const bool lacks_node = type == "missing_node_type" ||
                          (type == "invalid_prompt" && said.find("does not exist") != said.npos);
  std::string problems = problems_of(body, preset);
  if (problems.empty()) problems = type.empty() ? said : type + ": " + said;
  const std::string message = at_server(asked) + "refuses the graph: " + words_of(problems, asked);
  if (lacks_node) result.what = Submission::What::node_missing;
  result.verdict = {Act::fail, lacks_node ? "comfyui_node_missing" : "comfyui_graph_refused", message};
  return result;
}

Submission judge_accepted(const json& body, const std::string& id, const Preset& preset, const Asked& asked) {
  Submission result;
  const std::string named = text_in(body, "prompt_id");
  if (named.empty()) {
    result.verdict = {Act::shut, "comfyui_not_comfyui", at_server(asked) + "does not answer as ComfyUI does"};
    return result;
  }
  if (named != id) {
    result.verdict = {Act::shut, "comfyui_too_old", at_server(asked) + "gives runs names of its own, expected ComfyUI 0.8 or newer"};
    result.queued = named;
    return result;
  }
  const json* nodes = object_in(body, "node_errors");
  if (nodes == nullptr || nodes->empty() || !concerns_output(*nodes, preset.output)) {
    result.what = Submission::What::accepted;
    result.verdict = {};
    return result;
  }
  result = graph_refused(body, "", preset, asked);
  result.queued = id;  // for the outputs that we do not want
  return result;
}

}  // namespace

milliseconds away_for(int times) {
  constexpr std::array<milliseconds, 5> kSteps = {1s, 2s, 4s, 8s, 15s};
  return kSteps.at(std::min<std::size_t>(kSteps.size(), std::max(times, 1)) - 1);
}

ProviderVerdict judge_silence(const Error& error, const Asked& asked, int times_away) {
  const std::string& code = error.code();
  if (code == "egress_refused") {
    return {Act::shut, "comfyui_egress_refused",
            at_server(asked) + "has an address that this node may not reach, list it under egress.allow"};
  }
  if (code == "http_disk") return {Act::again, code, at_server(asked) + error.what()};
  if (error.error_class() != ErrorClass::transient) return {Act::fail, code, at_server(asked) + error.what()};
  return away(asked, std::string("is away (") + error.what() + ")", times_away);
}

ProviderVerdict judge_answer(const HttpResponse& response, const Asked& asked, int times_away,
                             std::chrono::system_clock::time_point now) {
  const std::string what = "answered " + std::to_string(response.status);
  switch (response.status) {
    case 404:
    case 405:
      return {Act::shut, "comfyui_not_comfyui", at_server(asked) + what + ", expected a ComfyUI server there"};
    case 413:
      return {Act::fail, "comfyui_too_large",
              at_server(asked) + what + ", the picture is larger than it takes (--max-upload-size, or max_side here)"};
    case 408:
    case 502:
    case 503:
    case 504: return away(asked, what, times_away);
    default: break;
  }
  ProviderVerdict verdict = judge_status("comfyui", response, now);
  if (verdict.act != Act::answered) verdict.message = at_server(asked) + what;
  if (response.status == 401 || response.status == 403) {
    verdict.message += ", expected that our headers are enough (of a proxy before it, or of its own check of Origin)";
  }
  return verdict;
}

Submission judge_submission(const HttpResponse& response, const std::string& id, const Preset& preset, const Asked& asked,
                            int times_away, std::chrono::system_clock::time_point now) {
  Submission result;
  const json body = json::parse(response.body, nullptr, false);
  if (response.status == 409) {
    result.what = Submission::What::known;
    return result;
  }
  result.verdict = judge_answer(response, asked, times_away, now);
  if (result.verdict.act == Act::answered) return judge_accepted(body, id, preset, asked);
  if (response.status != 400) return result;
  if (misses_upload(body, preset)) {
    result = graph_refused(body, "", preset, asked);
    result.what = Submission::What::upload_again;
    return result;
  }
  const json* error = object_in(body, "error");
  return graph_refused(body, error == nullptr ? "" : text_in(*error, "type"), preset, asked);
}

}  // namespace rowcrew::generation::comfyui
