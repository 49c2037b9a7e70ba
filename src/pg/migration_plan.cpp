#include "pg/migration_plan.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include "pg/statement_template.hpp"
#include "sql_pg.hpp"

namespace rowcrew {
namespace {

constexpr std::string_view kNoRecord =
    "schema rowcrew: has tables and no record of a migration, as a copy without data has (pg_dump --schema-only, structure.sql), "
    "expected both or neither: DROP SCHEMA rowcrew CASCADE, then rowcrew migrate";

void check_ascending(std::span<const Migration> migrations) {
  int last = 0;
  for (const Migration& migration : migrations) {
    if (migration.version <= last) {
      throw BugError("migrations", fmt::format("migration {}: version {} after {}, expected more",
                                               migration.name, migration.version, last));
    }
    last = migration.version;
  }
}

std::string render(const Statement& source,
                   std::map<std::string, std::string, std::less<>> values) {
  StatementSet set(std::move(values), "");
  return std::string(set.render(source).text);
}

}  // namespace

std::string MigrationScript::label() const {
  return fmt::format("{}.{}", name, step);
}

std::string MigrationScript::fingerprint() const {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr) != 1) {
    throw BugError("fingerprint", "SHA-256: failed, expected OpenSSL to have it");
  }
  return fmt::format("{:02x}", fmt::join(digest, digest + length, ""));
}

AppliedScripts applied_from(const Rows& rows) {
  AppliedScripts applied;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    applied.emplace(std::pair(static_cast<int>(rows.integer(row, 0)), rows.text(row, 1)), rows.text(row, 2));
  }
  return applied;
}

std::vector<MigrationScript> plan_migration(std::span<const Migration> migrations,
                                            const MigrateOptions& options) {
  check_ascending(migrations);
  const int newest = newest_version(migrations);
  if (options.upto < 0 || options.upto > newest) {
    throw ConfigError(
        fmt::format("migration: up to version {}, expected 1 to {}", options.upto, newest));
  }
  std::vector<MigrationScript> plan;
  for (const Migration& m : migrations) {
    if (options.upto != 0 && m.version > options.upto) break;
    if (options.step != MigrationStep::post && !m.pre.empty()) {
      plan.push_back({m.version, m.name, "pre", m.pre});
    }
    if (options.step != MigrationStep::pre && !m.post.empty()) {
      plan.push_back({m.version, m.name, "post", m.post});
    }
  }
  return plan;
}

void check_order(const MigrationScript& script, std::span<const Migration> migrations,
                 const AppliedScripts& applied) {
  if (script.step != "post") return;
  for (const Migration& m : migrations) {
    if (m.version != script.version || m.pre.empty()) continue;
    if (applied.contains({m.version, "pre"})) continue;
    throw ConfigError(fmt::format(
        "migration {}: its pre step has not been applied, expected it first", script.label()));
  }
}

void check_server_version(int number) {
  if (number >= kOldestServer) return;
  throw ConfigError(fmt::format("database server: version {}.{}, expected {} or newer",
                                number / 10'000, number % 10'000, kOldestServer / 10'000));
}

void check_schema_version(int found, std::span<const Migration> migrations) {
  const int known = newest_version(migrations);
  if (found <= known) return;
  throw ConfigError(fmt::format(
      "schema is at version {}, this binary knows up to {}: install a newer binary", found, known));
}

void check_recorded(bool has_tables, const AppliedScripts& applied) {
  if (has_tables && applied.empty()) throw ConfigError(std::string(kNoRecord));
}

void check_unchanged(const AppliedScripts& applied, std::span<const Migration> migrations) {
  for (const MigrationScript& script : plan_migration(migrations, {})) {
    const auto found = applied.find(std::pair(script.version, std::string(script.step)));
    if (found == applied.end() || found->second == script.fingerprint()) continue;
    throw ConfigError(fmt::format(
        "schema: {} was applied in another form than this program holds, expected the same: a development version made this "
        "schema; make it anew (DROP SCHEMA rowcrew CASCADE loses its jobs; with the private server: scripts/run --reset)",
        script.label()));
  }
}

int newest_version(std::span<const Migration> migrations) {
  return migrations.empty() ? 0 : migrations.back().version;
}

int newest_version(const AppliedScripts& applied) {
  return applied.empty() ? 0 : applied.rbegin()->first.first;
}

std::string migration_script(std::span<const Migration> migrations, std::string_view roles,
                             const MigrateOptions& options) {
  std::string out = render(sql_pg::migration_script_head,
                           {{"oldest_server", std::to_string(kOldestServer)},
                            {"schema", std::string(sql_pg::migration_schema.text)},
                            {"table", std::string(sql_pg::migration_table.text)},
                            {"no_record", std::string(kNoRecord)},
                            {"known", std::to_string(newest_version(migrations))}});
  for (const MigrationScript& script : plan_migration(migrations, options)) {
    out += render(sql_pg::migration_script_step, {{"label", script.label()},
                                                  {"version", std::to_string(script.version)},
                                                  {"step", std::string(script.step)},
                                                  {"name", std::string(script.name)},
                                                  {"fingerprint", script.fingerprint()},
                                                  {"script", std::string(script.text)},
                                                  {"private", std::string(sql_pg::migration_private.text)}});
  }
  if (options.with_roles) {
    out += render(sql_pg::migration_script_roles, {{"roles", std::string(roles)}});
  }
  return out;
}

}  // namespace rowcrew
