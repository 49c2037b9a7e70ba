#include "runtime/node_config.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

#include "base/config.hpp"

using namespace rowcrew;

namespace {

using Values = std::map<std::string, std::string>;
using Queues = std::vector<std::pair<std::string, std::size_t>>;

NodeConfig read(Values flags, Values env = {}) {
  ConfigSources sources;
  sources.flags = std::move(flags);
  sources.env = std::move(env);
  return read_node_config(load_config(sources));
}

std::string complaint(Values flags) {
  try {
    read(std::move(flags));
    return {};
  } catch (const ConfigError& e) {
    return e.what();
  }
}

}  // namespace

TEST_CASE("node config: a table that is named twice is refused, one of our own as well as an adopted one") {
  CHECK(complaint({{"node.tables", "job_queue, job_queue"}}) == "node.tables: \"job_queue\" is named twice, expected once");
  CHECK(complaint({{"node.tables", "job_queue, shop_jobs, processing_jobs, shop_jobs"}}) ==
        "node.tables: \"shop_jobs\" is named twice, expected once");
  const NodeConfig config = read({{"node.tables", "processing_jobs, shop_jobs, job_queue"}});
  CHECK(config.tables == std::vector<std::string>{"processing_jobs", "job_queue"});
  CHECK(config.adopted == std::vector<std::string>{"shop_jobs"});
}

TEST_CASE("node config: without node.tables every adopted table is served, with it those that it names") {
  CHECK(read({}).table_names() == std::vector<std::string>{"job_queue", "processing_jobs", "*"});
  CHECK(read({{"node.tables", "job_queue,shop_jobs"}}).table_names() == std::vector<std::string>{"job_queue", "shop_jobs"});
}

TEST_CASE("node config: what is shown as in force names the queues and tables that are served without being named") {
  const Settings root = load_config({});
  read_node_config(root);
  const std::string shown = describe_config(root);
  CHECK(shown.find("queues.default = 8\nqueues.generation = 2\n") != std::string::npos);
  CHECK(shown.find("node.tables = [job_queue, processing_jobs] and every adopted table\n") != std::string::npos);
}

TEST_CASE("node config: queues that only the environment names are served") {
  CHECK(read({}).queues == Queues{{"default", 8}, {"generation", 2}});
  CHECK(read({}, {{"ROWCREW_QUEUES_DEFAULT", "32"}, {"ROWCREW_QUEUES_MAIL", "4"}}).queues == Queues{{"default", 32}, {"mail", 4}});
  CHECK(read({{"queues.mail", "2"}}, {{"ROWCREW_QUEUES_MAIL", "4"}}).queues == Queues{{"mail", 2}});
}
