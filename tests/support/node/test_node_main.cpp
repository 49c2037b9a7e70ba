// rowcrewd with the tests' handlers.
#include "programs/node_program.hpp"
#include "support/node/test_handlers.hpp"
#include "support/node/tried_handler.hpp"

int main(int argc, char** argv) {
  rowcrew::NodeProgram program;
  if (const auto code = rowcrew::parse_node_arguments(argc, argv, program)) return *code;
  program.more_handlers = [](rowcrew::Registry& registry, rowcrew::Deps& deps) {
    rowcrew::testing::register_test_handlers(registry, deps);
    rowcrew::testing::register_tried(registry, deps);
  };
  return rowcrew::run_node_program(program);
}
