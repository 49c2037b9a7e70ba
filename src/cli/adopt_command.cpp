// rowcrew adopt and unadopt: the job table that an application already has, served where it is.
#include <fmt/format.h>

#include <ostream>

#include <rowcrew/error.hpp>

#include "base/exit_code.hpp"
#include "base/units.hpp"
#include "cli/adoption.hpp"
#include "cli/adoption_templates.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/failure.hpp"
#include "cli/old_worker.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kAdoptText =
    "Takes an application's job table into service, as the map describes it. Prints what it finds\n"
    "first; what is created lies in schema rowcrew, but for triggers on the table. Needs the rights\n"
    "of rowcrew_owner, and to read the table and put triggers on it; --repair and unadopt, which drop\n"
    "triggers, need the table's owner.";
constexpr std::string_view kUnadoptText =
    "Gives an adopted table back: waits for its running jobs, then removes the triggers and everything\n"
    "that was kept about it.";

/// Why the table is not to be served yet; empty: it may be.
std::string shadow_only(const AdoptionMap& map) {
  if (map.old_worker.empty()) return "the map does not say how the old worker claims (old_worker: none, or its statement)";
  if (map.old_worker == "none") return "";
  return fault_of_old_worker(map.old_worker, map.status_column, map.waiting_words, map.running_word);
}

void check_known(const std::optional<AdoptedTable>& known, bool repair, const AdoptionMap& map) {
  if (repair && !known) throw PermanentError("adopt_unknown", fmt::format("adopt: {} is not adopted, there is nothing to repair", shown_table(map)));
  const bool begun = known && (known->mode == "shadow" || known->hold_reason == "being adopted");  // and cut off, or locked out
  if (!repair && known && !begun) {
    throw PermanentError("adopt_known", fmt::format("adopt: {} is adopted as {} already; --repair brings it in line with the map", shown_table(map), known->name));
  }
}

int print_template(const std::string& framework, std::ostream& out) {
  const std::string_view text = adoption_template(framework);
  if (text.empty()) throw UsageError(fmt::format("--template: {}, expected django, prisma, rails or sqlalchemy", framework));
  out << text;
  return kExitOk;
}

int run_adopt(Invocation& call) {
  const std::string text = fmt::format("{}\n\n{}", kAdoptText, describe_adoption_map());
  Arguments args("adopt --map FILE [--dry-run|--shadow|--repair]", text);
  args.value("map", "FILE", "how the table's columns and words are meant (YAML)")
      .flag("dry-run", "report only")
      .flag("shadow", "record it and tell what would be claimed; attach nothing, claim nothing")
      .flag("repair", "after the application changed its table: bring triggers and hints in line with the map")
      .value("running", "leave|requeue", "what becomes of jobs that run already: their worker ends them, or they wait again")
      .value("template", "FRAMEWORK", "print a map to begin with: django, prisma, rails, sqlalchemy");
  if (!args.parse(call.args, call.out)) return kExitOk;
  if (const auto framework = args.get("template")) return print_template(*framework, call.out);
  if (!args.get("map")) throw UsageError("--map: missing, expected a file; --template prints one to begin with");
  if (args.has("dry-run") + args.has("shadow") + args.has("repair") > 1) throw UsageError("--dry-run, --shadow, --repair: expected one of them");
  const std::string running_rule = args.choice("running", "", {"", "leave", "requeue"});
  const AdoptionMap map = read_adoption_map(*args.get("map"));
  Adoption adoption(args.connection(), call.out);
  const auto known = adoption.find(map.name, map.schema, map.table);
  check_known(known, args.has("repair"), map);
  const std::int64_t running = adoption.report(map);
  adoption.preview(map);
  const std::string naive = shadow_only(map);
  if (!naive.empty()) call.out << fmt::format("shadow  {}\n", naive);
  if (args.has("dry-run")) {
    call.out << "create  companions _ready, _parked, _limited, _claim and _job in schema rowcrew; five triggers on the table, nothing else\n"
                "dry run: nothing was changed\n";
    return kExitOk;
  }
  if (args.has("shadow") || !naive.empty()) {
    if (args.has("repair")) throw PermanentError("adopt_naive", fmt::format("adopt: {}: it stays held", naive));
    call.out << fmt::format("{} is recorded as {}, in shadow: nothing is attached to it, nothing claimed\n", shown_table(map), adoption.shadow(map));
    return kExitOk;
  }
  if (running > 0 && running_rule.empty() && !args.has("repair")) {
    throw PermanentError("adopt_running", fmt::format("adopt: {} jobs run in {} now; say --running leave (their worker ends them) or --running requeue (nobody runs them any more)",
                                                      running, shown_table(map)));
  }
  const std::string name = adoption.serve(map, running_rule == "requeue");
  call.out << fmt::format("{} is served as {}\n", shown_table(map), name);
  return kExitOk;
}

int run_unadopt(Invocation& call) {
  Arguments args("unadopt NAME [--wait SPAN] [--force]", kUnadoptText);
  args.word("name")
      .value("wait", "SPAN", "how long to wait for running jobs (60s)")
      .flag("force", "do not wait: what runs is left in its word for running");
  if (!args.parse(call.args, call.out)) return kExitOk;
  Adoption adoption(args.connection(), call.out);
  const std::string asked = args.get("name", "");
  const std::size_t dot = asked.find('.');
  const bool qualified = dot != std::string::npos;
  const auto known = adoption.find(asked, qualified ? asked.substr(0, dot) : "public", qualified ? asked.substr(dot + 1) : asked);
  if (!known) throw PermanentError("adopt_unknown", fmt::format("unadopt: {} is no adopted table, rowcrew status names them", shown(asked)));
  adoption.give_back(known->name, args.duration("wait", std::chrono::hours(24)).value_or(std::chrono::seconds(60)), args.has("force"));
  call.out << fmt::format("{} is not adopted any more\n", known->name);
  return kExitOk;
}

}  // namespace

Command adopt_command() { return {"adopt", "serve the job table that an application already has", run_adopt}; }
Command unadopt_command() { return {"unadopt", "give an adopted table back", run_unadopt}; }

}  // namespace rowcrew::cli
