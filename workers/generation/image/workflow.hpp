// What is done to a picture, step by step: the JSON of a preset, checked.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace rowcrew::image {

/// Cuts to the shape width:height and shrinks to that size. A smaller picture stays smaller.
struct Crop {
  int width = 0;
  int height = 0;
  std::string gravity;  ///< attention, entropy or centre
};
/// Shrinks until both sides fit, whole picture.
struct Fit {
  int width = 0;
  int height = 0;
};
/// Flattens small differences between neighbours, leaves edges.
struct Denoise {
  double strength = 0;  ///< 0 to 1
};
/// Contrast between regions of about `radius` pixels.
struct LocalContrast {
  double amount = 0;  ///< 0 to 1
  double radius = 0;  ///< 8 to 200
};
/// Below 0 duller, above 0 livelier; strong colours move less.
struct Saturation {
  double amount = 0;  ///< -1 to 1
};
/// Stretches brightness so that these shares of the pixels become black and white.
struct Levels {
  double black_percent = 0;  ///< 0 to 5
  double white_percent = 0;  ///< 0 to 5
  double strength = 1;       ///< 0 to 1
};
/// A border that is bright already becomes white, and everything else brighter with it.
struct WhiteBackground {
  int level = 0;  ///< 128 to 250: a border darker than this is no white background
};
/// Unsharp mask on brightness.
struct Sharpen {
  double amount = 0;     ///< 0 to 3
  double radius = 0;     ///< 0.3 to 5: sigma in pixels
  double threshold = 0;  ///< 0 to 50: smaller differences are noise
};
/// Fills up to the shape width:height; a picture with transparency gets transparent borders.
struct Pad {
  int width = 0;
  int height = 0;
  std::array<double, 3> background{};
};

using Step =
    std::variant<Denoise, LocalContrast, Saturation, Levels, WhiteBackground, Sharpen, Pad>;
using Framing = std::variant<std::monostate, Crop, Fit>;

struct Workflow {
  Framing framing;  ///< comes first, for it decides how much has to be decoded
  std::vector<Step> steps;
};

/// {"steps": [{"step": "crop", …}, …]}, 1 to 20 steps; crop or fit once, as the first.
/// Throws Failure("preset_invalid") that names step and key.
Workflow parse_workflow(const nlohmann::json& workflow);

struct Size {
  int width = 0;
  int height = 0;
};
/// The size of a crop of `source` to the shape of `wanted`: as large as possible, never larger than
/// either, and in exact proportion where its terms are small (4:5, 16:9), else to the next pixel.
Size crop_size(Size source, Size wanted);
/// The smallest canvas of that shape that holds `picture`; the proportion as above.
Size pad_size(Size picture, Size wanted);

}  // namespace rowcrew::image
