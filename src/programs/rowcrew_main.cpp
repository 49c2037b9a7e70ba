#include "cli/cli_program.hpp"
#include "programs/bench/bench_command.hpp"
#include "programs/dev/dev_command.hpp"
#include "programs/work_command.hpp"
#include "web/web_command.hpp"

int main(int argc, char** argv) {
  auto commands = rowcrew::cli::commands();
  commands.push_back(rowcrew::web::web_command());
  commands.push_back(rowcrew::work_command());
  commands.push_back(rowcrew::dev::dev_command());
  commands.push_back(rowcrew::bench::bench_command());
  return rowcrew::cli::run_cli(argc, argv, commands);
}
