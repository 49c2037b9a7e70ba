// rowcrew migrate: brings the schema to the version of this program.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <ostream>

#include <rowcrew/db_error.hpp>
#include <rowcrew/log.hpp>

#include "base/event.hpp"
#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "pg/migration_plan.hpp"
#include "pg/migrator.hpp"
#include "schema/schema.hpp"
#include "sql_pg.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kText =
    "Brings the schema rowcrew to the version of this program: numbered steps, forward only, each\n"
    "in a transaction; what has been applied is skipped. \"pre\" steps come before new programs\n"
    "start, \"post\" steps after the last old one is gone.";

/// Prints each step as it ends.
class StepLog final : public Log {
 public:
  explicit StepLog(std::ostream& out) : out_(out) {}
  bool enabled(LogLevel level) const override { return level >= LogLevel::info; }
  void write(LogLevel, std::string_view event, std::span<const LogField> fields,
             std::string_view message) override {
    if (event != event::kSchemaMigrated) return;
    out_ << "applied " << message;
    for (const LogField& field : fields) {
      if (field.key == "took_ms") out_ << " in " << field.value << " ms";
    }
    out_ << std::endl;
  }

 private:
  std::ostream& out_;
};

MigrateOptions read_options(const Arguments& args) {
  MigrateOptions options;
  options.with_roles = args.choice("roles", "all", {"all", "none"}) == "all";
  const std::string step = args.choice("step", "all", {"pre", "post", "all"});
  options.step = step == "pre"    ? MigrationStep::pre
                 : step == "post" ? MigrationStep::post
                                  : MigrationStep::all;
  return options;
}

AppliedScripts read_applied(const PoolOptions& connection) {
  AppliedScripts applied;
  run_once(connection, TxMode::transaction, [&](Tx& tx) {
    if (!tx.exec(sql_pg::migration_ground_found, Params{}).boolean(0, 1)) return;
    applied = applied_from(tx.exec(sql_pg::migration_applied, Params{}));
  });
  return applied;
}

int dry_run(const PoolOptions& connection, const MigrateOptions& options, std::ostream& out) {
  const AppliedScripts applied = read_applied(connection);
  check_schema_version(newest_version(applied), schema::migrations());
  check_unchanged(applied, schema::migrations());
  for (const MigrationScript& script : plan_migration(schema::migrations(), options)) {
    if (!applied.contains({script.version, std::string(script.step)})) {
      out << "would apply " << script.label() << "\n";
    }
  }
  if (options.with_roles) out << "would make sure of the roles and their rights\n";
  return kExitOk;
}

int apply(const PoolOptions& connection, const MigrateOptions& options, std::ostream& out) {
  StepLog log(out);
  try {
    const MigrateResult result =
        migrate(connection, schema::migrations(), schema::roles(), options, log);
    out << fmt::format("schema: version {}, {} applied\n", result.to,
                       result.applied.empty() ? "nothing" : std::to_string(result.applied.size()));
    return kExitOk;
  } catch (const DbError& e) {
    if (e.sqlstate() != "42501" || !options.with_roles) throw;
    throw PermanentError("privilege",
                         fmt::format("{}: log in as a role with CREATEROLE that may create "
                                     "schemas, or manage roles yourself and add --roles=none",
                                     e.what()));
  }
}

std::vector<std::string_view> scripts_of(const std::string& app) {
  auto scripts = schema::app_scripts(app);
  if (scripts.empty()) {
    throw UsageError(fmt::format("--app: \"{}\" does not ship with rowcrew, expected {}", app,
                                 fmt::join(schema::apps(), " or ")));
  }
  return scripts;
}

/// All files of an app in one transaction: they can be run again.
void install_app(const PoolOptions& connection, const std::string& app, std::ostream& out) {
  const auto scripts = scripts_of(app);
  PoolOptions patient = connection;
  patient.lock_timeout = std::chrono::seconds(10);
  run_once(patient, TxMode::transaction, [&](Tx& tx) {
    for (const std::string_view script : scripts) exec_script(tx, script);
  });
  out << fmt::format("app: {} is installed\n", app);
}

int run_migrate(Invocation& call) {
  Arguments args("migrate [options]", kText);
  args.value("roles", "all|none", "none: the installation manages roles, create and grant nothing")
      .value("step", "pre|post|all", "default: all")
      .value("app", "NAME", "afterwards install this app of sql/apps, or bring it up to date")
      .flag("sql", "print everything as one script for psql, touch nothing")
      .flag("dry-run", "print what would be applied, touch nothing");
  if (!args.parse(call.args, call.out)) return kExitOk;
  const MigrateOptions options = read_options(args);
  if (args.has("sql")) {
    if (args.has("app")) throw UsageError("--sql: expected no --app beside it: an app is installed by the program alone");
    call.out << migration_script(schema::migrations(), schema::roles(), options);
    return kExitOk;
  }
  const PoolOptions connection = args.connection();
  const std::string app = args.get("app", "");
  if (!app.empty()) scripts_of(app);
  if (args.has("dry-run")) return dry_run(connection, options, call.out);
  const int status = apply(connection, options, call.out);
  if (status == kExitOk && !app.empty()) install_app(connection, app, call.out);
  return status;
}

}  // namespace

Command migrate_command() {
  return {"migrate", "create the schema or bring it up to date", run_migrate};
}

}  // namespace rowcrew::cli
