#include "preset.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

namespace rowcrew::generation::comfyui {
namespace {

using nlohmann::json;

json graph() {
  return json::parse(R"({
    "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "positive": ["6", 0]}, "_meta": {"title": "x"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "studio"}},
    "10": {"class_type": "LoadImage", "inputs": {"image": "example.png"}}})");
}

json whole() {
  json preset = json::parse(R"({"source": {"node": "10", "input": "image"}, "prompt": {"node": "6", "input": "text"},
    "seed": {"node": "3", "input": "seed"}, "output": "9", "steps": [{"step": "sharpen"}]})");
  preset["graph"] = graph();
  return preset;
}

Work work_of(const json& preset) {
  Work work;
  work.source = "/in/a.jpg";
  work.target = "/out/a.jpg";
  work.prompt = "a dog";
  work.workflow = preset.dump();
  return work;
}

std::string refusal(const Work& work) {
  try {
    parse_preset(work);
  } catch (const PermanentError& error) {
    return error.code() + " " + error.what();
  }
  return "";
}

TEST_CASE("comfyui preset: the job's values go into their inputs, and nothing else changes") {
  const Preset preset = parse_preset(work_of(whole()));
  Filling with;
  with.source = "up.png";
  with.prompt = R"("], "9": {"class_type": "Evil", "inputs": {}}, "x": [")";
  with.seed = 77;
  with.prefix = "rowcrew-id";
  json filled = fill(preset, with);
  CHECK(filled["10"]["inputs"]["image"] == "up.png");
  CHECK(filled["6"]["inputs"]["text"] == with.prompt);
  CHECK(filled["3"]["inputs"]["seed"] == 77);
  CHECK(filled["9"]["inputs"]["filename_prefix"] == "rowcrew-id");
  filled["10"]["inputs"]["image"] = "example.png";
  filled["6"]["inputs"]["text"] = "a cat";
  filled["3"]["inputs"]["seed"] = 5;
  filled["9"]["inputs"]["filename_prefix"] = "studio";
  CHECK(filled == graph());
  CHECK(preset.develop == R"({"steps":[{"step":"sharpen"}]})");
}

TEST_CASE("comfyui preset: without words of the job the preset's own stay, and all but graph and output may lack") {
  json least;
  least["graph"] = graph();
  least["output"] = "9";
  Work work = work_of(least);
  work.source.clear();
  work.prompt.clear();
  CHECK(fill(parse_preset(work), Filling())["6"]["inputs"]["text"] == "a cat");
  CHECK(parse_preset(work).develop.empty());
  work = work_of(whole());
  work.prompt.clear();
  CHECK(fill(parse_preset(work), Filling())["6"]["inputs"]["text"] == "a cat");
}

TEST_CASE("comfyui preset: what does not fit is refused with the name of the field") {
  const auto with = [](const char* pointer, const json& value) {
    json preset = whole();
    preset[json::json_pointer(pointer)] = value;
    return refusal(work_of(preset));
  };
  const auto without = [](const char* key) {
    json preset = whole();
    preset.erase(key);
    return refusal(work_of(preset));
  };
  const auto names = [](const std::string& said, const std::string& field) {
    CAPTURE(said);
    CHECK(said.starts_with("preset_invalid comfyui preset: " + field));
  };
  names(refusal(work_of(json::array())), "workflow");
  names(with("/colour", 1), "\"colour\"");
  names(without("graph"), "graph");
  names(without("output"), "output");
  names(with("/graph", json::array()), "graph");
  names(with("/graph", json::object()), "graph");
  names(with("/graph/nodes", json::array()), "graph: is what the editor saves");
  names(with("/graph/7", "text"), "graph.\"7\"");
  names(with("/graph/7", json::parse(R"({"inputs": {}})")), "graph.\"7\".class_type");
  names(with("/graph/7", json::parse(R"({"class_type": "X"})")), "graph.\"7\".inputs");
  names(with("/output", 9), "output");
  names(with("/output", "12"), "output: the graph has no node \"12\"");
  names(with("/prompt", "6"), "prompt");
  names(with("/prompt/more", 1), "prompt.\"more\"");
  names(with("/prompt/node", "12"), "prompt.node");
  names(with("/prompt/input", "words"), "prompt.input: the node has no input");
  names(with("/prompt/input", "clip"), "prompt.input: is linked");
  names(with("/seed/input", "positive"), "seed.input: is linked");
  names(with("/seed", json::parse(R"({"node": "6", "input": "text"})")), "seed.input: expected one that holds a whole number");
  names(with("/prompt", json::parse(R"({"node": "3", "input": "steps"})")), "prompt.input: expected one that holds a text");
  names(with("/source", json::parse(R"({"node": "6", "input": "text"})")), "graph: two of source, prompt and seed");
  names(with("/steps", json::parse(R"({"step": "sharpen"})")), "steps");
  names(with("/steps", json::parse("[]")), "steps");
  names(with("/steps", json::parse("[{}]")), "steps");
  names(without("source"), "source: is missing");
  names(without("prompt"), "prompt: is missing");
  Work bare = work_of(whole());
  bare.source.clear();
  CHECK(refusal(bare).starts_with("bad_payload source: "));
}

}  // namespace
}  // namespace rowcrew::generation::comfyui
