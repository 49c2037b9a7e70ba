// run_cli() on a database, with streams that a test can read.
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "cli/cli_program.hpp"
#include "integration/ingest/login_role.hpp"
#include "support/db/temp_database.hpp"

namespace rowcrew::testing {

class CliBench {
 public:
  explicit CliBench(std::string url) : url_(std::move(url)) {}

  int run(std::vector<std::string> args, const std::string& input = {}) {
    std::istringstream in(input);
    out_.str({});
    err_.str({});
    args.insert(args.begin(), {"--database", url_});
    return cli::run_cli(args, cli::commands(), {{}, in, out_, err_, interactive});
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  bool interactive = false;

 private:
  std::string url_;
  std::ostringstream out_;
  std::ostringstream err_;
};

}  // namespace rowcrew::testing
