#include "workflow.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "failure.hpp"
#include "json_fields.hpp"

namespace rowcrew::image {
namespace {

using nlohmann::json;

constexpr const char* kCode = "preset_invalid";
constexpr std::size_t kMostSteps = 20;
constexpr int kSmallestSide = 16;
constexpr int kLargestSide = 16000;  // WebP ends at 16383
constexpr int kSmallTerm = 64;

int side(JsonFields& fields, const char* key) {
  return static_cast<int>(fields.integer(key, kSmallestSide, kLargestSide));
}

std::array<double, 3> colour(JsonFields& fields, const char* key) {
  const json* value = fields.find(key);
  if (value == nullptr) return {255, 255, 255};
  const auto is_level = [](const json& part) {
    return part.is_number_unsigned() && part.get<std::uint64_t>() <= 255;
  };
  if (!value->is_array() || value->size() != 3 ||
      !std::all_of(value->begin(), value->end(), is_level)) {
    fields.refuse(key, "three whole numbers from 0 to 255");
  }
  return {(*value)[0].get<double>(), (*value)[1].get<double>(), (*value)[2].get<double>()};
}

Step parse_levels(JsonFields& fields) {
  Levels step;
  step.black_percent = fields.number("black_percent", 0.1, 0, 5);
  step.white_percent = fields.number("white_percent", 0.1, 0, 5);
  step.strength = fields.number("strength", 1, 0, 1);
  return step;
}

Step parse_pad(JsonFields& fields) {
  Pad step;
  step.width = side(fields, "width");
  step.height = side(fields, "height");
  step.background = colour(fields, "background");
  return step;
}

Step parse_sharpen(JsonFields& fields) {
  Sharpen step;
  step.amount = fields.number("amount", 0.6, 0, 3);
  step.radius = fields.number("radius", 0.8, 0.3, 5);
  step.threshold = fields.number("threshold", 2, 0, 50);
  return step;
}

Step parse_local_contrast(JsonFields& fields) {
  LocalContrast step;
  step.amount = fields.number("amount", 0.2, 0, 1);
  step.radius = fields.number("radius", 40, 8, 200);
  return step;
}

Step parse_step(const std::string& name, JsonFields& fields) {
  if (name == "denoise") return Denoise{fields.number("strength", 0.5, 0, 1)};
  if (name == "local_contrast") return parse_local_contrast(fields);
  if (name == "saturation") return Saturation{fields.number("amount", 0.15, -1, 1)};
  if (name == "levels") return parse_levels(fields);
  if (name == "white_background") {
    return WhiteBackground{static_cast<int>(fields.integer("level", 200, 128, 250))};
  }
  if (name == "sharpen") return parse_sharpen(fields);
  if (name == "pad") return parse_pad(fields);
  fields.refuse("step",
                "crop, fit, denoise, local_contrast, saturation, levels, white_background, sharpen "
                "or pad");
}

Framing parse_framing(const std::string& name, JsonFields& fields) {
  if (name == "fit") return Fit{side(fields, "width"), side(fields, "height")};
  Crop crop;
  crop.width = side(fields, "width");
  crop.height = side(fields, "height");
  crop.gravity = fields.choice("gravity", "attention", {"attention", "entropy", "centre"});
  return crop;
}

// a:b in lowest terms, or 0:0 when these are too large to hold pixels to.
Size small_terms(Size wanted) {
  const int divisor = std::gcd(wanted.width, wanted.height);
  const Size terms{wanted.width / divisor, wanted.height / divisor};
  return terms.width <= kSmallTerm && terms.height <= kSmallTerm ? terms : Size{};
}

int rounded(double side_length, int most) {
  return std::clamp(static_cast<int>(std::lround(side_length)), 1, most);
}

}  // namespace

Workflow parse_workflow(const json& workflow) {
  JsonFields whole(workflow, "workflow", kCode);
  const json* steps = whole.find("steps");
  if (steps == nullptr || !steps->is_array() || steps->empty() || steps->size() > kMostSteps) {
    throw Failure(kCode, "workflow: steps: expected a list of 1 to 20 steps");
  }
  whole.finish();
  Workflow parsed;
  for (std::size_t i = 0; i < steps->size(); ++i) {
    const std::string subject = "step " + std::to_string(i + 1);
    JsonFields unnamed((*steps)[i], subject, kCode);
    const std::string name = unnamed.text("step");
    const bool framing = name == "crop" || name == "fit";
    if (framing && i > 0) throw Failure(kCode, subject + ": " + name + " must be the first step");
    const std::string shown = name.size() > 32 ? std::string("unknown") : name;
    JsonFields fields((*steps)[i], subject + " (" + shown + ")", kCode);
    fields.find("step");
    if (framing) {
      parsed.framing = parse_framing(name, fields);
    } else {
      parsed.steps.push_back(parse_step(name, fields));
    }
    fields.finish();
  }
  return parsed;
}

Size crop_size(Size source, Size wanted) {
  const Size most{std::min(source.width, wanted.width), std::min(source.height, wanted.height)};
  const Size terms = small_terms(wanted);
  const int times =
      terms.width == 0 ? 0 : std::min(most.width / terms.width, most.height / terms.height);
  if (times > 0) return {terms.width * times, terms.height * times};
  const double shrink = std::min(static_cast<double>(most.width) / wanted.width,
                                 static_cast<double>(most.height) / wanted.height);
  return {rounded(wanted.width * shrink, most.width), rounded(wanted.height * shrink, most.height)};
}

Size pad_size(Size picture, Size wanted) {
  const auto times_up = [](int length, int term) { return (length + term - 1) / term; };
  const Size terms = small_terms(wanted);
  if (terms.width > 0) {
    const int times =
        std::max(times_up(picture.width, terms.width), times_up(picture.height, terms.height));
    return {terms.width * times, terms.height * times};
  }
  const double grow = std::max(static_cast<double>(picture.width) / wanted.width,
                               static_cast<double>(picture.height) / wanted.height);
  return {std::max(picture.width, static_cast<int>(std::lround(wanted.width * grow))),
          std::max(picture.height, static_cast<int>(std::lround(wanted.height * grow)))};
}

}  // namespace rowcrew::image
