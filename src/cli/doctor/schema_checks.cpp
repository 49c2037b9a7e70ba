// The schema: its version, its home, and whether all is there that the migrations made.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "cli/doctor/check.hpp"
#include "cli/doctor/values.hpp"

namespace rowcrew::cli::doctor {
namespace {

void version(const Facts& facts, Chart& chart) {
  const json& server = facts.of("server");
  const std::int64_t known = number(facts.of("program"), "schema");
  if (!flag(server, "schema")) {
    return chart.problem(fmt::format("database {} has no schema rowcrew: nothing can be enqueued or run", text(server, "database")), "rowcrew migrate");
  }
  const auto found = facts.read.find("installation");
  if (found == facts.read.end()) {
    const auto why = facts.unread.find("installation");
    return chart.unchecked(why == facts.unread.end() ? "was not read" : why->second);
  }
  const json& installation = found->second;
  if (installation.is_null()) return;  // schema.meta
  if (number(installation, "version") < known) {
    chart.problem(fmt::format("the schema has version {}, this program needs {}: nodes of its version do not start", number(installation, "version"), known), "rowcrew migrate");
  } else if (number(installation, "min_binary") > known) {
    chart.problem(fmt::format("the schema needs programs of version {} or newer, this one knows {}: nodes of its version do not start", number(installation, "min_binary"), known),
                  "install the newer package");
  }
}

void meta(const Facts& facts, Chart& chart) {
  if (facts.of("installation").is_null()) chart.problem("the row of rowcrew.meta is gone: no node starts", "rowcrew takeover");
}

void home(const Facts& facts, Chart& chart) {
  const json& installation = facts.of("installation");
  if (installation.is_null() || flag(installation, "home")) return;
  chart.problem(fmt::format("installation {} is at home on another server or in another database: this looks like a copy, on which nodes refuse to work", text(installation, "id")),
                "rowcrew takeover, if the jobs of this copy shall run");
}

void indexes(const Facts& facts, Chart& chart) {
  const json& objects = facts.of("objects");
  if (!objects.at("absent").empty()) {
    chart.problem(fmt::format("tables are missing in schema rowcrew: {}: statements that name them fail", fmt::join(objects.at("absent").get<std::vector<std::string>>(), ", ")),
                  "restore them from a backup");
  }
  for (const json& one : objects.at("broken")) {
    chart.problem(fmt::format("index {} of {} is not valid: it is written and never read", text(one, "index"), text(one, "table")), text(one, "mend"));
  }
  for (const json& one : objects.at("indexes")) {
    const std::string mend = text(one, "mend");
    chart.problem(fmt::format("{} has no valid index on {}: statements read all of the table instead{}", text(one, "table"), text(one, "shape"),
                              mend.starts_with("ALTER") ? ", and what was unique may be double" : ""), mend);
  }
}

/// What does not happen without it.
std::string_view cost(std::string_view trigger) {
  if (trigger == "rowcrew_file_new") return "new jobs are not filed, so that they are found by the audit only, minutes or hours later";
  if (trigger == "rowcrew_changed") return "jobs that are to run again, by retries too, are not filed, and unique keys of ended ones stay taken";
  if (trigger == "rowcrew_wake") return "a sleeping fleet is not woken, and looks within node.poll_every only";
  if (trigger == "rowcrew_sound") return "values that no node can work with are not refused";
  if (trigger == "rowcrew_free" || trigger == "rowcrew_free_some") return "permits of limits are not given back, until what waits for them waits for ever";
  if (trigger == "rowcrew_unfile" || trigger == "rowcrew_empty") return "hints of deleted jobs stay, and claims read past them";
  if (trigger == "rowcrew_unkey_deleted") return "unique keys of deleted jobs stay taken";
  if (trigger == "rowcrew_audit") return "changes of it leave no row in audit_logs";
  if (trigger == "announce") return "nodes learn of changes late";
  return "what it keeps in order is not kept";
}

void triggers(const Facts& facts, Chart& chart) {
  for (const json& one : facts.of("objects").at("triggers")) {
    const std::string state = text(one, "state");
    const char* what = state.empty() ? "is missing" : state == "D" ? "is disabled" : state == "R" ? "fires on replicas only" : "is not ENABLE ALWAYS, so that it does not fire for what replication or a restore writes";
    std::string said = fmt::format("trigger {} of {} {}: {}", text(one, "name"), text(one, "table"), what, cost(text(one, "name")));
    std::string mend = fmt::format("{}", fmt::join(one.at("mend").get<std::vector<std::string>>(), "; "));
    state == "O" ? chart.warning(std::move(said), std::move(mend)) : chart.problem(std::move(said), std::move(mend));
  }
}

}  // namespace

std::span<const Check> schema_checks() {
  static const std::array<Check, 5> kChecks = {{
      {"schema.version", "no schema, or one of another version than this program", {"server", "program"}, version},
      {"schema.meta", "the row that tells the installation was removed", {"installation"}, meta},
      {"schema.home", "a copy of another database, on which nodes refuse to work", {"installation"}, home},
      {"schema.indexes", "tables or indexes that are missing, indexes that are not valid", {"objects"}, indexes},
      {"schema.triggers", "triggers of ours that are missing or disabled", {"objects"}, triggers},
  }};
  return kChecks;
}

}  // namespace rowcrew::cli::doctor
