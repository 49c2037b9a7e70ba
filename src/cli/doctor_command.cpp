// rowcrew doctor: what makes a fleet slow, deaf, unsafe or stuck, outside of single jobs.
#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include <rowcrew/error.hpp>

#include "base/exit_code.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/doctor/check.hpp"
#include "cli/doctor/reading.hpp"
#include "cli/nearest_word.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kText =
    "Looks at everything outside of single jobs that makes a fleet slow, deaf, unsafe or stuck: the\n"
    "server and its settings, the schema with its indexes and triggers, roles, nodes, what is paused\n"
    "or overdue. Each finding says what is wrong, what that costs and what mends it; worst first.\n"
    "Changes nothing. With --config of a node it looks at that node's way to the database. Exit code:\n"
    "0 nothing wrong, or warnings only; 1 a problem, with --strict a warning, too, or hardly anything\n"
    "could be looked at; 69 no database. Needs the rights of rowcrew_viewer; what these do not show it\n"
    "says.";

std::vector<std::string> split_names(const std::string& list) {
  std::vector<std::string> names;
  for (std::size_t from = 0; from < list.size();) {
    const std::size_t to = std::min(list.find(',', from), list.size());
    if (to > from) names.push_back(list.substr(from, to - from));
    from = to + 1;
  }
  return names;
}

std::vector<std::string> checked_names(const std::string& list) {
  std::vector<std::string> known;
  for (const doctor::Check& check : doctor::all_checks()) known.emplace_back(check.name);
  std::vector<std::string> names = split_names(list);
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string nearest = nearest_word(name, known);
    throw UsageError(fmt::format("--skip: {}, expected names of checks (--list){}", name, nearest.empty() ? "" : ", did you mean " + nearest + "?"));
  }
  return names;
}

int list_checks(std::ostream& out) {
  for (const doctor::Check& check : doctor::all_checks()) out << fmt::format("{:<22} {}\n", check.name, check.summary);
  return kExitOk;
}

int run_doctor(Invocation& call) {
  Arguments args("doctor [--json] [--quiet] [--strict] [--skip CHECKS]", kText);
  args.flag("json", "one object: checks, fine, findings, not_checked")
      .flag("quiet", "print findings only")
      .flag("strict", "exit with 1 for warnings, too")
      .value("skip", "CHECKS", "leave these out, such as server.durability,fleet.pauses")
      .flag("list", "print the checks and what each finds");
  if (!args.parse(call.args, call.out)) return kExitOk;
  if (args.has("list")) return list_checks(call.out);
  const std::vector<std::string> skip = checked_names(args.get("skip", ""));
  const doctor::Diagnosis diagnosis = doctor::diagnose(doctor::read_facts(args.connection()), skip);
  call.out << (args.has("json") ? doctor::diagnosis_json(diagnosis) : doctor::diagnosis_text(diagnosis, args.has("quiet")));
  const bool ill = diagnosis.sees_little() || diagnosis.has(doctor::Severity::problem) || (args.has("strict") && !diagnosis.findings.empty());
  return ill ? kExitFailure : kExitOk;
}

}  // namespace

Command doctor_command() {
  return {"doctor", "what is wrong outside of single jobs, and what mends it", run_doctor};
}

}  // namespace rowcrew::cli
