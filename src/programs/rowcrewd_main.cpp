#include "programs/node_program.hpp"

int main(int argc, char** argv) {
  rowcrew::NodeProgram program;
  if (const auto code = rowcrew::parse_node_arguments(argc, argv, program)) return *code;
  return rowcrew::run_node_program(program);
}
