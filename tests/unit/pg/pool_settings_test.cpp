#include "pg/pool_settings.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <map>
#include <string>

#include <rowcrew/db_error.hpp>

#include "base/config.hpp"
#include "pg/interrupt.hpp"
#include "unit/base/scratch_dir.hpp"

using namespace std::chrono_literals;
using rowcrew::PoolOptions;
using rowcrew::testing::ScratchDir;

namespace {

using Flags = std::map<std::string, std::string>;

rowcrew::Settings load(Flags flags, bool with_url = true) {
  if (with_url) flags.emplace("database.url", "postgresql://u@h/jobs");
  rowcrew::ConfigSources sources;
  sources.flags = std::move(flags);
  return rowcrew::load_config(sources);
}

PoolOptions read(Flags flags) {
  return rowcrew::read_pool_options(load(std::move(flags)), "tester");
}

std::string complaint(Flags flags, bool with_url = true) {
  try {
    rowcrew::read_pool_options(load(std::move(flags), with_url), "tester");
    return {};
  } catch (const rowcrew::ConfigError& e) {
    return e.what();
  }
}

}  // namespace

TEST_CASE("pool settings: without any key but the URL the pool's own defaults hold") {
  const PoolOptions options = read({});
  const PoolOptions defaults;
  CHECK(options.url == "postgresql://u@h/jobs");
  CHECK(options.application_name == "tester");
  CHECK(options.threads == defaults.threads);
  CHECK(options.queue == defaults.queue);
  CHECK(options.pooled == defaults.pooled);
  CHECK(options.connect_timeout == defaults.connect_timeout);
  CHECK(options.statement_timeout == defaults.statement_timeout);
  CHECK_FALSE(options.password);
}

TEST_CASE("pool settings: each key reaches its option, within its range") {
  const PoolOptions options = read({{"database.threads", "9"},
                                    {"database.queue", "7"},
                                    {"database.pooled", "true"},
                                    {"database.connect_timeout", "2s"},
                                    {"database.statement_timeout", "90s"}});
  CHECK(options.threads == 9);
  CHECK(options.queue == 7);
  CHECK(options.pooled);
  CHECK(options.connect_timeout == 2s);
  CHECK(options.statement_timeout == 90s);
  CHECK(complaint({{"database.threads", "65"}}).find("1 to 64") != std::string::npos);
  CHECK(complaint({{"database.connect_timeout", "5"}}).find("has no unit") != std::string::npos);
  CHECK(
      complaint({{"database.statement_timeout", "1h"}}).starts_with("database.statement_timeout"));
}

TEST_CASE("pool settings: a URL that is missing or malformed is told without quoting it") {
  CHECK(complaint({}, false).starts_with("database.url: missing"));
  const std::string sentence = complaint({{"database.url", "postgresql://u:hush@[::1/x"}}, false);
  CHECK_FALSE(sentence.empty());
  CHECK(sentence.find("hush") == std::string::npos);
}

TEST_CASE("pool settings: a password file is read again at every connect") {
  const ScratchDir folder;
  const PoolOptions options =
      read({{"database.password_file", folder.write("password", "first\n")}});
  REQUIRE(options.password);
  CHECK(options.password(nullptr) == "first");
  folder.write("password", "second\n");
  CHECK(options.password(nullptr) == "second");
}

TEST_CASE("pool settings: one that has gone is an outage later, a mistake at the start") {
  PoolOptions options;
  {
    const ScratchDir folder;
    options = read({{"database.password_file", folder.write("password", "first")}});
  }
  try {
    options.password(nullptr);
    FAIL("the missing file was not noticed");
  } catch (const rowcrew::DbError& e) {
    CHECK(e.connection_lost());
    CHECK_FALSE(e.outcome_unknown());
    CHECK(e.error_class() == rowcrew::ErrorClass::transient);
    CHECK(std::string(e.what()).starts_with("database.password_file: "));
  }
  CHECK(complaint({{"database.password_file", "/no/such/file"}})
            .starts_with("database.password_file"));
}

TEST_CASE("pool settings: a password command that hangs is left when its connection is") {
  const ScratchDir folder;
  const std::string script = folder.write("script", "[ -e " + folder.path() + "/later ] && exec sleep 60; echo hush");
  const PoolOptions options = read({{"database.password_command", "/bin/sh, " + script}});
  folder.write("later", "");
  rowcrew::Interrupt interrupt;
  interrupt.trigger();
  try {
    options.password(&interrupt);
    FAIL("the command has ended");
  } catch (const rowcrew::DbError& e) {
    CHECK(std::string(e.what()) == "database.password_command: /bin/sh was given up on, expected a secret on its standard output");
  }
}

TEST_CASE("pool settings: a password command is run again at every connect, and never shown") {
  const rowcrew::Settings root = load({{"database.password_command", "/bin/echo, hush"}});
  const PoolOptions options = rowcrew::read_pool_options(root, "tester");
  REQUIRE(options.password);
  CHECK(options.password(nullptr) == "hush");
  CHECK(rowcrew::describe_config(root).find("hush") == std::string::npos);
  CHECK(rowcrew::describe_config(root).find("database.password = (set)") != std::string::npos);
  // No mistake of the configuration, after which nothing is started again.
  CHECK_THROWS_WITH_AS(read({{"database.password_command", "/bin/false"}}),
                       "database.password_command: /bin/false ended with exit code 1, expected exit code 0", rowcrew::TransientError);
}

TEST_CASE("pool settings: a password command beside a credential of that name is refused") {
  const ScratchDir folder;
  folder.write("database-password", "one");
  const rowcrew::testing::ScopedEnv directory("CREDENTIALS_DIRECTORY", folder.path());
  CHECK(complaint({{"database.password_command", "/bin/echo, other"}}) ==
        "database.password_command: found beside the credential database-password, expected one of them");
  CHECK(read({}).password(nullptr) == "one");
  CHECK(read({{"database.password_file", folder.write("own", "file")}}).password(nullptr) == "file");
}

TEST_CASE("pool settings: the way past a pooler is a secret, and only for a pooler") {
  const rowcrew::Settings root = load({{"database.pooled", "true"}, {"database.direct_url", "host=direct password=hush"}});
  const PoolOptions options = rowcrew::read_pool_options(root, "tester");
  CHECK(rowcrew::describe_config(root).find("hush") == std::string::npos);
  const auto direct = rowcrew::direct_options(options);
  REQUIRE(direct);
  CHECK(direct->url == "host=direct password=hush");
  CHECK_FALSE(direct->pooled);
  CHECK(rowcrew::direct_options(read({}))->url == "postgresql://u@h/jobs");
  CHECK_FALSE(rowcrew::direct_options(read({{"database.pooled", "true"}})));
  CHECK(complaint({{"database.direct_url", "host=direct"}})
            .starts_with("database.direct_url: found without database.pooled"));
  CHECK(complaint({{"database.pooled", "true"}, {"database.direct_url", "hush"}}).find("hush") == std::string::npos);
}

TEST_CASE("pool settings: TLS files are named, or come as credentials, and are there at the start") {
  const ScratchDir folder;
  const std::string ca = folder.write("database-ca", "-"), key = folder.write("database-key", "-"),
                    certificate = folder.write("database-certificate", "-");
  CHECK(read({{"database.ca_file", ca}}).tls_files ==
        decltype(PoolOptions::tls_files){{"sslrootcert", ca}});
  CHECK(complaint({{"database.ca_file", ca}, {"database.url", "postgresql://u:hush@h/jobs?sslmode=prefer"}})
            .starts_with("database url: sslmode=prefer"));
  CHECK(complaint({{"database.ca_file", "/no/such/file"}}).starts_with("database.ca_file: /no/such/file"));
  CHECK(complaint({{"database.key_file", key}}).starts_with("database.key_file: found one without the other"));
  ::setenv("CREDENTIALS_DIRECTORY", folder.path().c_str(), 1);
  CHECK(read({}).tls_files == decltype(PoolOptions::tls_files){
                                  {"sslrootcert", ca}, {"sslcert", certificate}, {"sslkey", key}});
  ::unsetenv("CREDENTIALS_DIRECTORY");
}

TEST_CASE("pool settings: a plain password stays what it was") {
  const PoolOptions options = read({{"database.password", "hush"}});
  REQUIRE(options.password);
  CHECK(options.password(nullptr) == "hush");
}
