#include "ingest/ingest_program.hpp"

int main(int argc, char** argv) {
  return rowcrew::run_ingest(argc, argv);
}
