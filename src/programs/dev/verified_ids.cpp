#include "programs/dev/verified_ids.hpp"

#include <nlohmann/json.hpp>

namespace rowcrew::dev {

using nlohmann::json;

void VerifiedIds::take(std::string_view text) {
  for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
    take_line(text.substr(0, end));
    bytes_ += end + 1;
    text.remove_prefix(end + 1);
  }
}

void VerifiedIds::take_line(std::string_view line) {
  // Complaints of the receiver stand in the same file.
  const json parsed = json::parse(line, nullptr, false);
  if (!parsed.is_object()) return;
  if (const auto url = parsed.find("listening"); url != parsed.end() && url->is_string()) {
    url_ = url->get<std::string>();
  }
  const auto id = parsed.find("id");
  if (id != parsed.end() && id->is_string() && parsed.value("verified", json(false)) == true) {
    ids_.insert(id->get<std::string>());
  }
}

}  // namespace rowcrew::dev
