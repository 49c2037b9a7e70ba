#include "sql_entry.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <rowcrew/error.hpp>

namespace rowcrew::sql_kind {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLongestName = 63;
constexpr std::string_view kExpected = "expected (jsonb) or (uuid, jsonb), returning void or jsonb";

[[noreturn]] void refuse(const std::string& subject, const std::string& sentence) {
  throw ConfigError(subject + ": " + sentence);
}

bool is_entry_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

bool is_identifier(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && !(name[0] >= '0' && name[0] <= '9') &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
         });
}

SqlFunction read_function(const Settings& section) {
  const std::string text = section.text("function");
  const auto dot = text.find('.');
  SqlFunction function;
  if (dot != text.npos) {
    function.schema = text.substr(0, dot);
    function.name = text.substr(dot + 1);
  }
  if (!is_identifier(function.schema) || !is_identifier(function.name)) {
    refuse(section.full("function"),
           fmt::format("\"{}\" found, expected schema.name in letters, digits and _, as the catalog has them", text));
  }
  return function;
}

std::string signature(const FoundFunction& f) {
  return fmt::format("({}){} {}", f.arguments, f.plain ? " returning" : " as a procedure, aggregate or set of", f.result);
}

}  // namespace

AllowList read_allow_list(const Settings& sql) {
  AllowList list;
  const Settings allow = sql.section("allow");
  for (const std::string& name : allow.names()) {
    if (!is_entry_name(name)) refuse(allow.full(name), "expected a name of a-z, 0-9, _ and -, 64 at most");
    const Settings section = allow.section(name);
    Entry entry;
    entry.name = name;
    entry.setting = allow.full(name);
    entry.function = read_function(section);
    entry.batch = static_cast<std::size_t>(section.integer("batch", 1, 1, 64));
    entry.timeout = section.duration("timeout", 10min, 10ms, 10min);
    list.emplace(name, std::move(entry));
  }
  return list;
}

SqlFunction choose(const Entry& entry, std::span<const FoundFunction> found, const std::string& role) {
  const std::string subject = fmt::format("{}: function {}.{}", entry.setting, entry.function.schema, entry.function.name);
  std::string others;
  const FoundFunction* best = nullptr;
  for (const FoundFunction& f : found) {
    if (f.schema != entry.function.schema || f.name != entry.function.name) continue;
    const bool arguments_fit = f.arguments == "jsonb" || f.arguments == "uuid, jsonb";
    const bool result_fits = f.result == "void" || f.result == "jsonb";
    if (f.plain && arguments_fit && result_fits) {
      if (best == nullptr || f.arguments.size() > best->arguments.size()) best = &f;
    } else {
      others += (others.empty() ? "" : "; ") + signature(f);
    }
  }
  if (best == nullptr) refuse(subject, fmt::format("found {}, {}", others.empty() ? "none" : others, kExpected));
  if (!best->allowed) {
    refuse(subject, fmt::format("role {0} may not call it, expected USAGE on schema {1} and EXECUTE on function {1}.{2}({3})",
                                role, best->schema, best->name, best->arguments));
  }
  SqlFunction function = entry.function;
  function.takes_id = best->arguments != "jsonb";
  function.returns_result = best->result == "jsonb";
  return function;
}

}  // namespace rowcrew::sql_kind
