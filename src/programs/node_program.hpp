// What rowcrewd, `rowcrew work` and the tests' nodes have in common: configuration in, node out.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include <rowcrew/deps.hpp>
#include <rowcrew/registry.hpp>

#include "runtime/node.hpp"

namespace rowcrew {

struct NodeProgram {
  std::string config_file;                   ///< empty: environment and defaults only
  std::map<std::string, std::string> flags;  ///< full key -> value
  /// What rowcrew_environment() was, of a program that has read a configuration before; else it is asked.
  std::optional<std::map<std::string, std::string>> environment;
  bool check_config = false;                 ///< print the effective values and end
  NodeMode mode = NodeMode::forever;
  /// Has the last word about the node's configuration.
  std::function<void(NodeConfig&)> adjust;
  /// Handlers beside the kinds of workers/registry.cpp (tests).
  std::function<void(Registry&, Deps&)> more_handlers;
};

/// Runs to the end; returns the exit code. Configuration errors are one line on stderr and 78.
int run_node_program(const NodeProgram& program);

/// rowcrewd's command line. Returns an exit code when there is nothing to run (--help, --version,
/// usage errors: 64).
std::optional<int> parse_node_arguments(int argc, const char* const* argv, NodeProgram& program);

}  // namespace rowcrew
