#include "schema/schema.hpp"

#include <charconv>
#include <map>
#include <vector>

#include "sql_apps.hpp"
#include "sql_migrations.hpp"
#include "sql_roles.hpp"

namespace rowcrew::schema {
namespace {

/// "0002_jobs.pre" -> 2
int version_of(std::string_view file) {
  int version = 0;
  std::from_chars(file.data(), file.data() + file.size(), version);
  return version;
}

std::vector<Migration> collect() {
  std::map<int, Migration> by_version;
  for (const Statement& file : files::kAll) {
    const auto dot = file.name.rfind('.');
    const int version = version_of(file.name);
    Migration& m = by_version[version];
    m.version = version;
    m.name = file.name.substr(0, dot);
    (file.name.substr(dot + 1) == "post" ? m.post : m.pre) = file.text;
  }
  std::vector<Migration> ordered;
  for (const auto& [version, migration] : by_version) ordered.push_back(migration);
  return ordered;
}

const std::vector<Migration>& all() {
  static const std::vector<Migration> kMigrations = collect();
  return kMigrations;
}

}  // namespace

std::span<const Migration> migrations() { return all(); }
std::string_view roles() { return roles_file::roles.text; }

std::vector<std::string_view> apps() {
  std::vector<std::string_view> names;
  for (const Statement& file : app_files::kAll) {
    const std::string_view app = file.name.substr(0, file.name.find('/'));
    if (names.empty() || names.back() != app) names.push_back(app);
  }
  return names;
}

std::vector<std::string_view> app_scripts(std::string_view app) {
  std::vector<std::string_view> scripts;
  for (const Statement& file : app_files::kAll) {  // sorted by name
    if (file.name.substr(0, file.name.find('/')) == app) scripts.push_back(file.text);
  }
  return scripts;
}

int version() { return all().back().version; }

}  // namespace rowcrew::schema
