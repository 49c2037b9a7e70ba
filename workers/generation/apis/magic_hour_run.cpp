#include "magic_hour_run.hpp"

#include <nlohmann/json.hpp>

#include "image_api.hpp"

namespace rowcrew::generation {

using nlohmann::json;

HeadshotRun::HeadshotRun(const std::string& checkpoint) {
  const json kept = json::parse(checkpoint, nullptr, false);
  if (word_at(kept, "provider") != "magic_hour") return;
  file_path = word_at(kept, "file_path");
  id = word_at(kept, "id");
  credits = kept.contains("credits") ? count_at(kept, "credits") : -1;
  creating = kept.value("creating", json(false)) == json(true);
  made = static_cast<int>(count_at(kept, "made"));
  lost = static_cast<int>(count_at(kept, "lost"));
  in_vain = static_cast<int>(count_at(kept, "in_vain"));
  crashes = static_cast<int>(count_at(kept, "crashes"));
}

std::string HeadshotRun::to_json() const {
  json kept = {{"provider", "magic_hour"}, {"creating", creating}, {"made", made}, {"lost", lost}, {"in_vain", in_vain}, {"crashes", crashes}};
  if (!file_path.empty()) kept["file_path"] = file_path;
  if (!id.empty()) kept["id"] = id;
  if (credits >= 0) kept["credits"] = credits;
  return kept.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace rowcrew::generation
