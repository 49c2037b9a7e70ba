#include <doctest/doctest.h>

#include <cstdlib>
#include <sstream>

#include "programs/dev/dev_options.hpp"

using namespace rowcrew::dev;

namespace {

DevOptions read_with(const char* variable) {
  for (const char* known : {"ROWCREW_DATABASE_URL", "ROWCREW_DATABASE_URL_FILE"}) ::unsetenv(known);
  if (variable != nullptr) ::setenv(variable, "somewhere", 1);
  rowcrew::cli::Arguments arguments("dev", "");
  declare_options(arguments);
  std::ostringstream out;
  REQUIRE(arguments.parse({"--folder", "/", "--templates", "/", "--private-pg", "/bin/sh"}, out));
  const DevOptions options = read_options(arguments);
  if (variable != nullptr) ::unsetenv(variable);
  return options;
}

}  // namespace

TEST_CASE("dev: a private PostgreSQL is started only where nothing names a database") {
  CHECK_FALSE(read_with(nullptr).private_pg.empty());
  CHECK(read_with("ROWCREW_DATABASE_URL").private_pg.empty());
  CHECK(read_with("ROWCREW_DATABASE_URL_FILE").private_pg.empty());
}
