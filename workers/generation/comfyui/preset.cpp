#include "preset.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <rowcrew/error.hpp>

namespace rowcrew::generation::comfyui {
namespace {

using nlohmann::json;

constexpr const char* kPrefixInput = "filename_prefix";
constexpr std::size_t kMostSteps = 20;

[[noreturn]] void refuse(const std::string& field, const std::string& sentence) {
  throw PermanentError("preset_invalid", "comfyui preset: " + field + ": " + sentence);
}

// A stranger's key, as it may stand in a message.
std::string as_key(const std::string& key) {
  return json(key.substr(0, 60)).dump(-1, ' ', true, json::error_handler_t::replace);
}

void check_keys(const json& object, const std::string& within,
                std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      refuse(within + as_key(key), "is no key of this preset");
    }
  }
}

std::string text_of(const json& object, const char* key, const std::string& field) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_string() || at->get_ref<const std::string&>().empty()) {
    refuse(field, "expected a text");
  }
  return at->get<std::string>();
}

void check_graph(const json& graph) {
  if (!graph.is_object() || graph.empty()) refuse("graph", "expected an object of nodes");
  if (graph.contains("nodes") && graph["nodes"].is_array()) {
    refuse("graph", "is what the editor saves, expected what it exports for the API");
  }
  for (const auto& [id, node] : graph.items()) {
    const std::string field = "graph." + as_key(id);
    if (!node.is_object()) refuse(field, "expected a node: {\"class_type\", \"inputs\"}");
    text_of(node, "class_type", field + ".class_type");
    if (!node.contains("inputs") || !node["inputs"].is_object()) {
      refuse(field + ".inputs", "expected an object");
    }
  }
}

std::string node_id(const json& graph, const json& value, const std::string& field) {
  if (!value.is_string()) refuse(field, "expected the id of a node, a text such as \"9\"");
  const std::string id = value.get<std::string>();
  if (!graph.contains(id)) refuse(field, "the graph has no node " + as_key(id));
  return id;
}

// An input that a node does not have the server ignores, and the picture would be made without the
// job's words: what is to be replaced has to be there.
std::optional<Slot> read_slot(const json& preset, const char* name, bool number) {
  const auto at = preset.find(name);
  if (at == preset.end()) return std::nullopt;
  const std::string field = name;
  if (!at->is_object()) refuse(field, "expected {\"node\", \"input\"}");
  check_keys(*at, field + ".", {"node", "input"});
  if (!at->contains("node")) refuse(field + ".node", "expected the id of a node, a text such as \"9\"");
  const json& graph = preset["graph"];
  Slot slot(node_id(graph, (*at)["node"], field + ".node"), text_of(*at, "input", field + ".input"));
  const json& inputs = graph[slot.node]["inputs"];
  const auto input = inputs.find(slot.input);
  if (input == inputs.end()) refuse(field + ".input", "the node has no input " + as_key(slot.input));
  if (input->is_array()) refuse(field + ".input", "is linked to another node, expected a value");
  if (number && !input->is_number_integer()) refuse(field + ".input", "expected one that holds a whole number");
  if (!number && !input->is_string()) refuse(field + ".input", "expected one that holds a text");
  return slot;
}

bool is_step(const json& step) {
  return step.is_object() && step.contains("step") && step["step"].is_string();
}

std::string read_steps(const json& preset) {
  const auto at = preset.find("steps");
  if (at == preset.end()) return {};
  if (!at->is_array() || at->empty() || at->size() > kMostSteps || !std::all_of(at->begin(), at->end(), is_step)) {
    refuse("steps", "expected 1 to 20 steps: [{\"step\": …}, …]");
  }
  json develop;
  develop["steps"] = *at;
  return develop.dump();
}

void check_apart(const Preset& preset) {
  const std::array<const std::optional<Slot>*, 3> slots = {&preset.source, &preset.prompt, &preset.seed};
  for (std::size_t i = 0; i < slots.size(); ++i) {
    for (std::size_t k = i + 1; k < slots.size(); ++k) {
      if (!*slots[i] || !*slots[k]) continue;
      if ((*slots[i])->node == (*slots[k])->node && (*slots[i])->input == (*slots[k])->input) {
        refuse("graph", "two of source, prompt and seed name the same input");
      }
    }
  }
}

void check_fits(const Preset& preset, const Work& work) {
  if (!work.source.empty() && !preset.source) {
    refuse("source", "is missing, but the job brings a picture");
  }
  if (work.source.empty() && preset.source) {
    throw PermanentError("bad_payload", "source: is missing, and this preset works on a picture");
  }
  if (!work.prompt.empty() && !preset.prompt) {
    refuse("prompt", "is missing, but the job brings words");
  }
}

}  // namespace

Preset parse_preset(const Work& work) {
  const json whole = json::parse(work.workflow, nullptr, false);
  if (!whole.is_object()) refuse("workflow", "expected an object");
  check_keys(whole, "", {"graph", "source", "prompt", "seed", "output", "steps"});
  if (!whole.contains("graph")) refuse("graph", "is missing");
  check_graph(whole["graph"]);
  Preset preset;
  preset.source = read_slot(whole, "source", false);
  preset.prompt = read_slot(whole, "prompt", false);
  preset.seed = read_slot(whole, "seed", true);
  if (!whole.contains("output")) refuse("output", "is missing, expected the id of the node whose file is the result");
  preset.output = node_id(whole["graph"], whole["output"], "output");
  preset.develop = read_steps(whole);
  preset.graph = whole["graph"];
  check_apart(preset);
  check_fits(preset, work);
  return preset;
}

json fill(const Preset& preset, const Filling& with) {
  json graph = preset.graph;
  if (preset.source) graph[preset.source->node]["inputs"][preset.source->input] = with.source;
  if (preset.prompt && !with.prompt.empty()) {
    graph[preset.prompt->node]["inputs"][preset.prompt->input] = with.prompt;
  }
  if (preset.seed) graph[preset.seed->node]["inputs"][preset.seed->input] = with.seed;
  json& inputs = graph[preset.output]["inputs"];
  const auto prefix = inputs.find(kPrefixInput);
  if (prefix != inputs.end() && prefix->is_string()) *prefix = with.prefix;
  return graph;
}

}  // namespace rowcrew::generation::comfyui
