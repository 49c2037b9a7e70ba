#include "cli/cli_program.hpp"
#include "programs/work_command.hpp"

int main(int argc, char** argv) {
  auto commands = rowcrew::cli::commands();
  commands.push_back(rowcrew::work_command());
  return rowcrew::cli::run_cli(argc, argv, commands);
}
