#include "ingest/ingest_config.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

#include <rowcrew/error.hpp>

#include "base/config.hpp"

using namespace std::chrono_literals;
using rowcrew::IngestConfig;

namespace {

IngestConfig read(std::map<std::string, std::string> flags) {
  flags.emplace("database.url", "postgresql:///jobs");
  rowcrew::ConfigSources sources;
  sources.flags = std::move(flags);
  const rowcrew::Settings root = rowcrew::load_config(sources);
  IngestConfig config = rowcrew::read_ingest_config(root);
  rowcrew::check_unknown(root);
  return config;
}

std::string complaint(std::map<std::string, std::string> flags) {
  try {
    read(std::move(flags));
    return {};
  } catch (const rowcrew::ConfigError& e) {
    return e.what();
  }
}

}  // namespace

TEST_CASE("the defaults listen on loopback and take a mebibyte") {
  const IngestConfig config = read({});
  CHECK(config.http.listen == "127.0.0.1:8080");
  CHECK(config.http.max_body_bytes == 1u << 20);
  CHECK(config.http.request_deadline == 10s);
  CHECK(config.http.max_connections == 512);
  CHECK(config.database.url == "postgresql:///jobs");
  CHECK(config.database.application_name == "rowcrew-ingest");
}

TEST_CASE("the database is given up before the client is") {
  for (const char* const deadline : {"1s", "10s", "5m"}) {
    const IngestConfig config = read({{"ingest.request_deadline", deadline}});
    CHECK(config.database.wait + 2 * config.database.statement_timeout <=
          config.http.request_deadline);
  }
  CHECK(read({{"ingest.request_deadline", "5m"}}).database.statement_timeout == 30s);
}

TEST_CASE("mistakes name key, value and range") {
  CHECK(complaint({{"ingest.max_body", "1GiB"}}).starts_with("ingest.max_body"));
  CHECK(complaint({{"ingest.request_deadline", "10"}}).find("has no unit") != std::string::npos);
  CHECK(complaint({{"ingest.max_connections", "0"}}).find("1 to 100000") != std::string::npos);
  CHECK(complaint({{"ingest.database_wait", "6s"}}) ==
        "ingest.database_wait: 6s, expected at most half of ingest.request_deadline (10s)");
  CHECK(complaint({{"log.level", "loud"}}).find("debug, info, warning or error") !=
        std::string::npos);
  CHECK(complaint({{"ingest.max_boddy", "1MiB"}}).find("did you mean ingest.max_body") !=
        std::string::npos);
}

TEST_CASE("a missing or malformed database URL is told without quoting it") {
  rowcrew::ConfigSources none;
  CHECK_THROWS_WITH_AS(rowcrew::read_ingest_config(rowcrew::load_config(none)),
                       doctest::Contains("database.url: missing"), rowcrew::ConfigError);
  const std::string sentence = complaint({{"database.url", "postgresql://u:hush@[::1/jobs"}});
  CHECK(sentence.starts_with("database url"));
  CHECK(sentence.find("hush") == std::string::npos);
}

namespace {

std::map<std::string, std::string> hook_with(std::map<std::string, std::string> more) {
  std::map<std::string, std::string> flags = {{"hooks.pay.scheme", "stripe"}, {"hooks.pay.secret", "whsec_x"},
                                              {"hooks.pay.api_key", "rc_key"}, {"hooks.pay.job_type", "sql"}};
  for (auto& [key, value] : more) flags["hooks." + key] = value;
  std::erase_if(flags, [](const auto& flag) { return flag.second == "-"; });
  return flags;
}

}  // namespace

TEST_CASE("a hook has a scheme, a secret, a key of ours and a job type") {
  CHECK(read({}).hooks.empty());
  const auto hooks = read(hook_with({{"pay.previous_secret", "whsec_y"}, {"pay.entry", "stripe"}, {"pay.tolerance", "10m"}})).hooks;
  REQUIRE(hooks.size() == 1);
  const rowcrew::Hook& hook = hooks.at("pay");
  CHECK(hook.scheme == rowcrew::HookScheme::stripe);
  CHECK(hook.secrets == std::vector<std::string>{"whsec_x", "whsec_y"});
  CHECK(hook.job_type == "sql");
  CHECK(hook.entry == "stripe");
  CHECK(hook.tolerance == 10min);
  CHECK(hook.key_hash.size() == 64);
  CHECK(hook.key_hash.find("rc_key") == std::string::npos);
}

TEST_CASE("a hook that could never work is refused at start, without telling its secrets") {
  const auto says = [](std::map<std::string, std::string> more) { return complaint(hook_with(std::move(more))); };
  CHECK(says({{"pay.scheme", "-"}}).find("hooks.pay.scheme") == 0);
  CHECK(says({{"pay.scheme", "slack"}}).find("hooks.pay.scheme") == 0);
  CHECK(says({{"pay.secret", "-"}}).find("hooks.pay.secret") == 0);
  CHECK(says({{"pay.api_key", "-"}}).find("hooks.pay.api_key") == 0);
  CHECK(says({{"pay.job_type", "-"}}).find("hooks.pay.job_type") == 0);
  CHECK(says({{"pay.tolerance", "2h"}}).find("hooks.pay.tolerance") == 0);
  CHECK(says({{"pay.tolerence", "2m"}}).find("hooks.pay.tolerence") != std::string::npos);
  const std::string weak = says({{"pay.scheme", "standard"}, {"pay.secret", "hunter2"}});
  CHECK(weak.find("hooks.pay.secret") == 0);
  CHECK(weak.find("hunter2") == std::string::npos);
}
