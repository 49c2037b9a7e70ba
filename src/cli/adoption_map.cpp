#include "cli/adoption_map.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "pg/statement_template.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::array<std::string_view, 4> kNeeded = {"pending", "processing", "completed", "failed"};
constexpr std::array<std::string_view, 2> kOptional = {"retrying", "cancelled"};
constexpr std::array<std::string_view, 18> kColumns = {
    "job_type",      "queue",  "priority",    "attempts", "max_attempts", "scheduled_at", "started_at", "completed_at", "error_code",
    "error_message", "result", "duration_ms", "worker",   "locked_at",    "locked_by",    "created_at",
    "tenant",        "provider"};

/// Names and words are filled into templates of ours, where braces mean something.
const std::string& without_braces(const Settings& section, std::string_view key, const std::string& text) {
  if (text.empty() || text.find_first_of("{}") != std::string::npos || text.find('\0') != std::string::npos) {
    throw ConfigError(fmt::format("{}: \"{}\" cannot be served, expected a name without braces", section.full(key), text));
  }
  return text;
}

std::string name_of(const Settings& section, std::string_view key) {
  return without_braces(section, key, section.text(key));
}

void read_states(const Settings& root, AdoptionMap& map) {
  const Settings states = root.section("states");
  std::map<std::string, std::string> state_of;
  const auto take = [&](std::string_view state) {
    const std::string word = name_of(states, state);
    const auto [known, fresh] = state_of.emplace(word, state);
    if (!fresh) {
      throw ConfigError(fmt::format("{}: \"{}\" is the word for {} already, expected a word of its own; leave {} out if the table has none",
                                    states.full(state), word, known->second, state));
    }
    map.object["states"][std::string(state)] = word;
    map.words.push_back(word);
  };
  for (const std::string_view state : kNeeded) take(state);
  for (const std::string_view state : kOptional) {
    if (states.has(state)) take(state);
  }
  for (const auto& [word, state] : state_of) {
    if (state == "processing") map.running_word = word;
    if (state == "pending" || state == "retrying") map.waiting_words.push_back(word);
  }
}

void read_columns(const Settings& root, AdoptionMap& map) {
  const Settings columns = root.section("columns");
  map.status_column = without_braces(columns, "status", columns.text("status", "status"));
  map.object["columns"]["status"] = map.status_column;
  std::map<std::string, std::string> role_of{{map.status_column, "status"}};
  for (const std::string_view role : kColumns) {
    if (!columns.has(role)) continue;
    const std::string column = name_of(columns, role);
    const auto [known, fresh] = role_of.emplace(column, role);
    if (!fresh) throw ConfigError(fmt::format("{}: column \"{}\" is {} already, expected one of its own", columns.full(role), column, known->second));
    map.object["columns"][std::string(role)] = column;
  }
}

void read_constants(const Settings& root, AdoptionMap& map) {
  nlohmann::json& object = map.object;
  if (root.has("job_type")) object["job_type"] = name_of(root, "job_type");
  const bool typed = object["columns"].contains("job_type");
  if (object.contains("job_type") == typed) {
    throw ConfigError(typed ? "job_type: given as a constant and as columns.job_type, expected one of them"
                            : "job_type: missing, expected the type of every job in the table, or columns.job_type");
  }
  object["queue"] = without_braces(root, "queue", root.text("queue", "default"));
  object["priority"] = std::to_string(root.integer("priority", 5, 0, 9));
  object["max_attempts"] = std::to_string(root.integer("max_attempts", 5, 1, 1000));
  if (root.has("app")) object["app"] = name_of(root, "app");
  if (root.has("payload")) object["payload"] = root.text("payload");
  if (root.has("zone")) object["zone"] = root.text("zone");
  object["counts"] = root.choice("counts", "executions", {"executions", "failures"});
  object["touch"] = nlohmann::json::array();
  for (const std::string& column : root.texts("touch", {})) object["touch"].push_back(without_braces(root, "touch", column));
  object["requeue"] = nlohmann::json::array();
  for (const std::string& state : root.texts("requeue", {})) {
    if (state != "completed" && state != "failed" && state != "cancelled") {
      throw ConfigError(fmt::format("requeue: \"{}\" is no state that a job is run again from, expected completed, failed or cancelled", state));
    }
    object["requeue"].push_back(state);
  }
  if (root.has("old_worker")) {
    map.old_worker = root.text("old_worker");
    object["old_worker"] = map.old_worker;
  }
}

}  // namespace

AdoptionMap read_adoption_map(const std::string& file) {
  const Settings root = load_config({file, {}, {}});
  AdoptionMap map;
  map.schema = without_braces(root, "schema", root.text("schema", "public"));
  map.table = name_of(root, "table");
  map.object["schema"] = map.schema;
  map.object["table"] = map.table;
  map.object["key"] = without_braces(root, "key", root.text("key", "id"));
  if (root.has("name")) {
    map.name = root.text("name");
    if (map.name.empty() || map.name.size() > 40 || map.name[0] < 'a' || map.name[0] > 'z' ||
        map.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string::npos) {
      throw ConfigError(fmt::format("name: \"{}\", expected up to 40 lower-case letters, digits and \"_\", a letter first", map.name));
    }
    map.object["name"] = map.name;
  }
  read_states(root, map);
  read_columns(root, map);
  read_constants(root, map);
  check_unknown(root);
  return map;
}

std::string describe_adoption_map() {
  const auto second = kColumns.begin() + 5;
  const auto third = second + 8;
  return fmt::format(
      "Keys of a map: table, schema (public), key (id), name (<schema>_<table>), states, columns; job_type,\n"
      "queue (default), priority (5), max_attempts (5) and app of every job; payload (SQL over the columns;\n"
      "the whole row), zone (of timestamps that have none), counts (of the column attempts: executions or\n"
      "failures), touch (columns that get the time of each write), requeue, old_worker.\n"
      "States: {}; if the table has words for them: {}.\n"
      "Columns, where there are such: status (status), {},\n"
      "{},\n"
      "{}.",
      fmt::join(kNeeded, ", "), fmt::join(kOptional, ", "), fmt::join(kColumns.begin(), second, ", "), fmt::join(second, third, ", "),
      fmt::join(third, kColumns.end(), ", "));
}

std::string shown_table(const AdoptionMap& map) { return quote_qualified(map.schema, map.table); }

}  // namespace rowcrew::cli
