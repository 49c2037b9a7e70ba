// The terminal program: finds the command, runs it, turns failures into one line and an exit code.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "cli/command.hpp"

namespace rowcrew::cli {

/// migrate, takeover, enqueue, status, tail, key: what this layer offers. A program may add its own
/// before it calls run_cli().
std::vector<Command> commands();

/// `args`: the command line without the program's name. Options before the command (--database,
/// --config) count as if they stood behind it. `call`: its args are not looked at. Returns an
/// ExitCode and throws nothing.
int run_cli(const std::vector<std::string>& args, const std::vector<Command>& known,
            Invocation call);

/// The same from main(): standard streams, "interactive" when stdin is a terminal.
int run_cli(int argc, char** argv, const std::vector<Command>& known);

}  // namespace rowcrew::cli
