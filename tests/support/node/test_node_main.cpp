// rowcrewd with the tests' handlers.
#include "programs/node_program.hpp"
#include "support/node/test_handlers.hpp"

int main(int argc, char** argv) {
  rowcrew::NodeProgram program;
  if (const auto code = rowcrew::parse_node_arguments(argc, argv, program)) return *code;
  program.more_handlers = rowcrew::testing::register_test_handlers;
  return rowcrew::run_node_program(program);
}
