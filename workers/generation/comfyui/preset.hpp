// What a preset of the provider "comfyui" holds, and the graph that one job makes of it: pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "workers/generation/provider.hpp"

namespace rowcrew::generation::comfyui {

/// One input of one node: where something of the job goes.
struct Slot {
  Slot() = default;
  Slot(std::string in_node, std::string which) : node(std::move(in_node)), input(std::move(which)) {}
  std::string node;
  std::string input;
};

struct Preset {
  Preset() = default;
  nlohmann::json graph;        ///< API format
  std::optional<Slot> source;  ///< takes the name of the uploaded picture
  std::optional<Slot> prompt;  ///< takes the job's words
  std::optional<Slot> seed;
  std::string output;          ///< the node whose file is the result
  std::string develop;         ///< a workflow of rowcrew-image: {"steps": […]}; empty: none
};

/// Throws PermanentError: "preset_invalid" with the name of the field, also where the job brings a picture or
/// words that the preset has no place for; "bad_payload" where it lacks the picture.
Preset parse_preset(const Work& work);

struct Filling {
  Filling() = default;
  std::string source;  ///< as the server calls the uploaded picture
  std::string prompt;  ///< empty: the preset's own words stay
  std::uint64_t seed = 0;
  std::string prefix;  ///< of the file that the output node writes, where it has a prefix: a fresh file for every run
};

/// The graph of this job. Nothing but the values of its slots and that prefix differs from the preset.
nlohmann::json fill(const Preset& preset, const Filling& with);

}  // namespace rowcrew::generation::comfyui
