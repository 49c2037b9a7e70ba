// Tables of ours: what somebody has done to them, and what piles up in them.
#include <fmt/format.h>

#include <array>

#include "cli/doctor/check.hpp"
#include "cli/doctor/values.hpp"

namespace rowcrew::cli::doctor {
namespace {

constexpr std::int64_t kVacuumLate = 600;

void triggers(const Facts& facts, Chart& chart) {
  for (const json& one : facts.of("tables").at("triggers")) {
    chart.warning(fmt::format("{} has the trigger {}, which is not ours: {}", text(one, "table"), text(one, "trigger"),
                              flag(one, "per_row") ? "it runs for each row that enqueues, claims and ends write, and an error in it fails all of their batch"
                                                   : "it runs with each statement that writes there, and an error in it fails all of their batch"),
                  text(one, "mend"));
  }
}

void rules(const Facts& facts, Chart& chart) {
  for (const json& one : facts.of("tables").at("rules")) {
    chart.problem(fmt::format("{} has the rule {}: statements of nodes are rewritten by it, so that they do something else", text(one, "table"), text(one, "rule")), text(one, "mend"));
  }
}

void row_security(const Facts& facts, Chart& chart) {
  for (const json& one : facts.of("tables").at("row_security")) {
    chart.problem(fmt::format("{} has row security: statements of nodes that do not own it are refused", text(one, "table")), text(one, "mend"));
  }
}

void unlogged(const Facts& facts, Chart& chart) {
  for (const json& one : facts.of("tables").at("unlogged")) {
    chart.problem(fmt::format("{} is UNLOGGED: a crash of the server empties it, and standbys do not have it", text(one, "table")), text(one, "mend"));
  }
}

void vacuum(const Facts& facts, Chart& chart) {
  for (const json& one : facts.of("tables").at("not_vacuumed")) {
    chart.warning(fmt::format("autovacuum is switched off for {}: dead rows stay, and whoever reads it reads past them", text(one, "table")), text(one, "mend"));
  }
  for (const json& one : facts.of("tables").at("dead")) {
    const bool ever = !one.at("seconds").is_null();
    if (ever && number(one, "seconds") < kVacuumLate) continue;
    chart.warning(fmt::format("{} has about {} dead rows (an estimate) and was {}: claims read past them", text(one, "table"), number(one, "rows"),
                              ever ? "vacuumed " + span(number(one, "seconds")) + " ago" : "never vacuumed"),
                  text(one, "mend") + ", after what server.horizon and server.vacuum name");
  }
}

void references(const Facts& facts, Chart& chart) {
  for (const json& one : facts.of("tables").at("references")) {
    chart.warning(fmt::format("foreign key {} of {} refers to {}: {}", text(one, "constraint"), text(one, "table"), text(one, "target"),
                              flag(one, "cascades") ? "when retention removes a job, the rows that refer to it go with it"
                                                    : "retention keeps what it refers to, for ever"),
                  text(one, "mend"));
  }
}

void partitions(const Facts& facts, Chart& chart) {
  for (const json& one : facts.of("tables").at("without_partition")) {
    chart.warning(fmt::format("{} has no partition for next week: its rows will lie in the default partition, out of which retention removes them one by one", text(one, "table")),
                  text(one, "mend"));
  }
}

}  // namespace

std::span<const Check> tables_checks() {
  static const std::array<Check, 7> kChecks = {{
      {"tables.row_security", "row security on tables of ours", {"tables"}, row_security},
      {"tables.rules", "rules on tables of ours", {"tables"}, rules},
      {"tables.unlogged", "tables of ours that a crash empties", {"tables"}, unlogged},
      {"tables.triggers", "triggers on tables of ours that are not ours", {"tables"}, triggers},
      {"tables.vacuum", "tables without autovacuum, and hints with many dead rows (estimates)", {"tables"}, vacuum},
      {"tables.references", "foreign keys to tables that retention removes rows from", {"tables"}, references},
      {"tables.partitions", "no partition for next week", {"tables"}, partitions},
  }};
  return kChecks;
}

}  // namespace rowcrew::cli::doctor
