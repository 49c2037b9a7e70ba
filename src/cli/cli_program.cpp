#include "cli/cli_program.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "base/exit_code.hpp"
#include "base/units.hpp"
#include "cli/arguments.hpp"
#include "cli/failure.hpp"
#include "cli/nearest_word.hpp"
#include "schema/schema.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace {

/// A command line, taken apart as far as this file knows it.
struct Split {
  std::string command;            ///< empty: none
  std::vector<std::string> rest;  ///< behind the command, then what stood before it
  bool help = false;
  bool version = false;
};

bool takes_value(std::string_view option) {
  return option == "--database" || option == "--config";
}

Split split(const std::vector<std::string>& args) {
  Split found;
  for (auto at = args.begin(); at != args.end(); ++at) {
    const std::string name = at->substr(0, at->find('='));
    if (*at == "--help" || *at == "-h") {
      found.help = true;
    } else if (*at == "--version") {
      found.version = true;
    } else if (takes_value(name)) {
      found.rest.push_back(*at);
      if (name.size() < at->size()) continue;
      if (++at == args.end()) throw UsageError(name + ": missing, expected a value behind it");
      found.rest.push_back(*at);
    } else if (at->starts_with('-')) {
      throw UsageError(shown(*at) + ": unknown option, see rowcrew --help");
    } else {
      found.command = *at;
      found.rest.insert(found.rest.begin(), at + 1, args.end());
      return found;
    }
  }
  return found;
}

void print_overview(std::ostream& out, const std::vector<Command>& known) {
  out << "rowcrew: the operator's hand of a fleet of job workers on PostgreSQL\n\n"
         "Usage: rowcrew [--database URL] [--config FILE] COMMAND [options]\n\n";
  for (const Command& command : known) {
    out << fmt::format("  {:<10} {}\n", command.name, command.summary);
  }
  out << "\n\"rowcrew COMMAND --help\" tells about one of them. The database is that of "
         "--database,\n"
         "of ROWCREW_DATABASE_URL, or database.url of the configuration file. What only looks asks\n"
         "for the rights of rowcrew_viewer; what changes something, tail and key for those of\n"
         "rowcrew_operator; migrate, takeover, adopt and unadopt for those of rowcrew_owner.\n";
}

const Command& find_command(const std::vector<Command>& known, const std::string& name) {
  const auto at = std::find_if(known.begin(), known.end(),
                               [&](const Command& command) { return command.name == name; });
  if (at != known.end()) return *at;
  std::vector<std::string> names;
  for (const Command& command : known) names.emplace_back(command.name);
  const std::string nearest = nearest_word(name, names);
  throw UsageError(
      nearest.empty() ? fmt::format("{}: unknown command, see rowcrew --help", shown(name))
                      : fmt::format("{}: unknown command, did you mean {}?", shown(name), nearest));
}

int dispatch(Split asked, const std::vector<Command>& known, Invocation& call) {
  if (asked.version) {
    call.out << fmt::format("rowcrew {} (schema {})\n", ROWCREW_VERSION, schema::version());
    return kExitOk;
  }
  if (asked.command == "help") {
    asked.help = true;
    asked.command = asked.rest.empty() ? "" : asked.rest.front();
  }
  if (asked.help && asked.command.empty()) {
    print_overview(call.out, known);
    return kExitOk;
  }
  if (asked.command.empty()) {
    print_overview(call.err, known);
    return kExitUsage;
  }
  const Command& command = find_command(known, asked.command);
  call.args = asked.help ? std::vector<std::string>{"--help"} : std::move(asked.rest);
  return command.run(call);
}

/// Whether the database of this command line has no schema of ours, or an older one. False where nobody can tell.
bool schema_is_old(const std::vector<std::string>& args, const Environment& environment) {
  bool old = false;
  try {
    run_once(connection_of(args, environment), TxMode::transaction, [&](Tx& tx) {
      old = !tx.exec(sql::node_schema_present, Params{}).boolean(0, 0);
      if (old) return;
      const Rows version = tx.exec(sql::cli_schema_version, Params{});
      old = version.empty() || version.integer(0, 0) < schema::version();
    });
  } catch (const std::exception&) {
    return false;
  }
  return old;
}

/// A script that reads half of an answer must not take it for all.
int delivered(Invocation& call, int code) {
  call.out.flush();
  if (call.out) return code;
  call.err << "rowcrew: standard output: not everything could be written to it" << std::endl;
  return code == kExitOk ? kExitFailure : code;
}

}  // namespace

int run_cli(const std::vector<std::string>& args, const std::vector<Command>& known,
            Invocation call) {
  const Environment environment = rowcrew_environment();  // a command takes secrets out of it
  try {
    return delivered(call, dispatch(split(args), known, call));
  } catch (const std::exception& e) {
    call.out.flush();
    const Failure failure = judge_failure(e, [&] { return schema_is_old(call.args, environment); });
    call.err << "rowcrew: " << failure.message << std::endl;
    return failure.exit_code;
  }
}

int run_cli(int argc, char** argv, const std::vector<Command>& known) {
  const std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  return run_cli(args, known, {{}, std::cin, std::cout, std::cerr, ::isatty(STDIN_FILENO) == 1});
}

}  // namespace rowcrew::cli
