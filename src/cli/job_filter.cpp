#include "cli/job_filter.hpp"

#include <array>
#include <nlohmann/json.hpp>

namespace rowcrew::cli {
namespace {

struct Option {
  const char* name;
  const char* key;
  const char* placeholder;
  const char* text;
};
constexpr std::array<Option, 9> kOptions = {{
    {"table", "table", "NAME", "of this adopted table, not of rowcrew's own"},
    {"type", "type", "NAME", "of this job type"},
    {"queue", "queue", "NAME", "of this queue"},
    {"tenant", "tenant", "NAME", "of this tenant"},
    {"error-code", "error_code", "CODE", "whose last error was this"},
    {"created-after", "created_after", "TIME", "2026-05-01T12:00:00Z"},
    {"created-before", "created_before", "TIME", ""},
    {"ended-after", "ended_after", "TIME", ""},
    {"ended-before", "ended_before", "TIME", ""},
}};

}  // namespace

void add_filter_options(Arguments& args) {
  for (const Option& option : kOptions) args.value(option.name, option.placeholder, option.text);
}

std::optional<std::string> filter_of(const Arguments& args) {
  nlohmann::ordered_json filter = nlohmann::ordered_json::object();
  for (const Option& option : kOptions) {
    if (const auto value = args.get(option.name)) filter[option.key] = *value;
  }
  if (args.has("all")) filter["all"] = true;
  if (filter.empty()) return std::nullopt;
  return filter.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace rowcrew::cli
