#include "cli/cli_program.hpp"

// Commands that need more than the cli layer are added here: commands.push_back({name, summary, run}).
int main(int argc, char** argv) {
  auto commands = rowcrew::cli::commands();
  return rowcrew::cli::run_cli(argc, argv, commands);
}
