#include "base/config.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

#include "scratch_dir.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
using testing::ScopedEnv;
using testing::ScratchDir;
using testing::sentence_of;

namespace {

std::string load_error(const std::string& yaml) {
  const ScratchDir dir;
  ConfigSources sources;
  sources.file = dir.write("c.yaml", yaml);
  const std::string sentence = sentence_of<ConfigError>([&] { load_config(sources); });
  return sentence.starts_with(sources.file) ? sentence.substr(sources.file.size()) : sentence;
}

std::string unknown_error(const std::string& yaml, std::map<std::string, std::string> flags = {}, std::map<std::string, std::string> env = {}) {
  const ScratchDir dir;
  ConfigSources sources;
  if (!yaml.empty()) sources.file = dir.write("c.yaml", yaml);
  sources.flags = std::move(flags);
  sources.env = std::move(env);
  const Settings root = load_config(sources);
  const Settings worker = root.section("worker");
  worker.duration("lease", 30s, 1s, 1min);
  worker.integer("slots", 8, 1, 256);
  root.section("database").secret("url");
  for (const std::string& queue : root.section("queues").names()) {
    root.section("queues").section(queue).integer("slots", 1, 1, 9);
  }
  return sentence_of<ConfigError>([&] { check_unknown(root); });
}

}  // namespace

TEST_CASE("a file that cannot be read is refused with its path and the reason") {
  ConfigSources sources;
  sources.file = "/nonexistent/rowcrew.yaml";
  CHECK(sentence_of<ConfigError>([&] { load_config(sources); }) ==
        "/nonexistent/rowcrew.yaml: No such file or directory, expected a readable file");
  sources.file.resize(1);
  CHECK(sentence_of<ConfigError>([&] { load_config(sources); }) ==
        "/: Is a directory, expected a readable file");
}

TEST_CASE("malformed YAML is refused with line and column") {
  CHECK(load_error("worker:\n  lease: [1, 2\n").starts_with(": line "));
  CHECK(load_error("worker:\n  lease: [1, 2\n").ends_with(", expected YAML"));
  CHECK(load_error("a: b: c\n").starts_with(": line 1, column 5: "));
  CHECK(load_error("- a\n- b\n") ==
        ": line 1, column 1: a list or a single value, expected a map of sections");
  CHECK(load_error("just words\n") ==
        ": line 1, column 1: a list or a single value, expected a map of sections");
  CHECK(load_error("a: 1\n---\nb: 2\n") == ": line 2, column 1: another YAML document, or a comma outside of all, expected one document");
  CHECK(load_error("? [a]\n: 1\n").ends_with("a key that is no word, expected a name"));
  CHECK(load_error("") == "nothing was thrown");
  CHECK(load_error("# only a comment\n") == "nothing was thrown");
  CHECK(load_error("~") == "nothing was thrown");
}

TEST_CASE("a comma before or behind the whole is refused, and not read for ever") {
  constexpr std::string_view kOne = ": another YAML document, or a comma outside of all, expected one document";
  CHECK(load_error(", a: 1\n") == ": line 1, column 1" + std::string(kOne));
  CHECK(load_error("{\"a\": 1},\n") == ": line 1, column 9" + std::string(kOne));
  CHECK(load_error("---\na: 1\n...\n") == "nothing was thrown");
  CHECK(load_error("# nothing\n") == "nothing was thrown");
}

TEST_CASE("a NUL character is refused wherever text stands") {
  CHECK(load_error("node:\n  name: \"a\\0b\"\n") == ": line 2, column 9: a NUL character, expected text");
  CHECK(load_error("node: {tables: [a, \"b\\0\"]}\n") == ": line 1, column 20: a NUL character, expected text");
  CHECK(load_error("\"no\\0de\": 1\n") == ": line 1, column 1: a NUL character, expected text");
}

TEST_CASE("a file that is not in UTF-8 is refused, wherever it shows") {
  CHECK(load_error("node:\n  name: B\xFCro\n") == ": line 2, column 9: text that is no UTF-8, expected a file in UTF-8");
  CHECK(load_error("node: {tables: [a, \"\xE9t\xE9\"]}\n") == ": line 1, column 20: text that is no UTF-8, expected a file in UTF-8");
  CHECK(load_error("n\xF6" "de: 1\n") == ": line 1, column 1: text that is no UTF-8, expected a file in UTF-8");
  CHECK(load_error("node: # B\xFCro\n  name: B\xC3\xBCro\n") == "nothing was thrown");
}

TEST_CASE("a key that is given twice is refused") {
  CHECK(load_error("worker:\n  lease: 1s\n  lease: 2s\n") ==
        ": line 3, column 3: worker.lease is given twice, expected once");
  CHECK(load_error("a.b: 1\na:\n  b: 2\n") ==
        ": line 3, column 3: a.b is given twice, expected once");
}

TEST_CASE("a file that contains itself ends in a sentence, not in a crash") {
  CHECK(load_error("a: &x\n  b: *x\n").ends_with("nested too deeply, expected 16 levels at most"));
  std::string bomb = "a0: &a0 {x: 1, y: 2}\n";
  for (int i = 1; i < 15; ++i) {
    const std::string at = std::to_string(i);
    const std::string below = "*a" + std::to_string(i - 1);
    bomb += "a" + at + ": &a" + at + " {x: " + below + ", y: " + below + "}\n";
  }
  CHECK(load_error(bomb).ends_with("too many keys, expected 20000 at most"));
}

TEST_CASE("a key that nobody asked for is refused with the nearest known one") {
  CHECK(unknown_error("") == "nothing was thrown");
  CHECK(unknown_error("database: {url_file: /proc/version}\n") == "nothing was thrown");
  CHECK(unknown_error("worker:\n  slots: 4\n  lese: 30s\n") ==
        "worker.lese (line 3): unknown key, did you mean worker.lease?");
  CHECK(unknown_error("wroker:\n  lease: 30s\n") ==
        "wroker (line 1): unknown key, did you mean worker?");
  CHECK(unknown_error("lease: 30s\n") == "lease (line 1): unknown key, did you mean worker.lease?");
  CHECK(unknown_error("worker:\n  url: x\n") ==
        "worker.url (line 2): unknown key, did you mean database.url?");
  CHECK(unknown_error("worker:\n  urls: x\n") == "worker.urls (line 2): unknown key");
  CHECK(unknown_error("worker:\n  colour: red\n") == "worker.colour (line 2): unknown key");
  CHECK(unknown_error("queues:\n  mail: {slots: 2}\n") == "nothing was thrown");
  CHECK(unknown_error("queues:\n  mail: {slot: 2}\n") ==
        "queues.mail.slot (line 2): unknown key, did you mean queues.mail.slots?");
  CHECK(unknown_error("worker:\n") == "nothing was thrown");
}

TEST_CASE("the first unknown key of the file is the one that is named") {
  CHECK(unknown_error("zebra: 1\napple: 2\n").starts_with("zebra (line 1)"));
}

TEST_CASE("a flag that nobody asked for is refused too") {
  CHECK(unknown_error("", {{"worker.lease", "2s"}}) == "nothing was thrown");
  CHECK(unknown_error("", {{"worker.slot", "2"}}) ==
        "worker.slot (command line): unknown key, did you mean worker.slots?");
}

TEST_CASE("a variable below a section of ours that nobody asked for is refused, with the nearest known key") {
  const auto given = [](const std::string& variable) { return unknown_error("", {}, {{variable, "2s"}}); };
  CHECK(given("ROWCREW_WORKER_LEASE") == "nothing was thrown");
  CHECK(given("ROWCREW_DATABASE_URL") == "nothing was thrown");
  CHECK(unknown_error("", {}, {{"ROWCREW_DATABASE_URL_FILE", "/proc/version"}}) == "nothing was thrown");
  CHECK(given("ROWCREW_WORKER_LEESE") == "worker.leese (from ROWCREW_WORKER_LEESE): unknown key, did you mean worker.lease?");
  CHECK(given("ROWCREW_WORKER_COLOUR") == "worker.colour (from ROWCREW_WORKER_COLOUR): unknown key");
  CHECK(unknown_error("queues:\n  mail: {slots: 2}\n", {}, {{"ROWCREW_QUEUES_MAIL_SLOT", "2"}}) ==
        "queues.mail.slot (from ROWCREW_QUEUES_MAIL_SLOT): unknown key, did you mean queues.mail.slots?");
}

TEST_CASE("variables of other programs and of scripts are nobody's mistake") {
  for (const std::string variable : {"ROWCREW_TEST_DATABASE_URL", "ROWCREW_BIN", "ROWCREW_WORKER", "ROWCREW_WORKERS_LEESE", "ROWCREW_INGEST_MAX_BODY"}) {
    CHECK(unknown_error("", {}, {{variable, "x"}}) == "nothing was thrown");
  }
}

TEST_CASE("what Kubernetes tells about a service that is called like a section of ours is nobody's mistake") {
  std::map<std::string, std::string> env = {
      {"ROWCREW_WORKER_SERVICE_HOST", "10.0.0.9"},          {"ROWCREW_WORKER_SERVICE_PORT", "8080"},
      {"ROWCREW_WORKER_SERVICE_PORT_HTTP", "8080"},         {"ROWCREW_WORKER_PORT", "tcp://10.0.0.9:8080"},
      {"ROWCREW_WORKER_PORT_8080_TCP", "tcp://10.0.0.9:8080"}, {"ROWCREW_WORKER_PORT_8080_TCP_ADDR", "10.0.0.9"},
      {"ROWCREW_WORKER_LEASE", "2s"}};
  CHECK(unknown_error("", {}, env) == "nothing was thrown");
  env["ROWCREW_WORKER_PORT"] = "8080";  // written by somebody
  CHECK(unknown_error("", {}, env) == "worker.port (from ROWCREW_WORKER_PORT): unknown key");
  env.erase("ROWCREW_WORKER_PORT");
  env.erase("ROWCREW_WORKER_SERVICE_HOST");  // no service then
  CHECK(unknown_error("", {}, env).starts_with("worker.port_8080_tcp (from ROWCREW_WORKER_PORT_8080_TCP): unknown key"));
}

TEST_CASE("only ROWCREW_ variables are taken from the environment") {
  const ScopedEnv ours("ROWCREW_TEST_VALUE", "a=b");
  const ScopedEnv foreign("OTHER_TEST_VALUE", "c");
  const auto found = rowcrew_environment();
  CHECK(found.at("ROWCREW_TEST_VALUE") == "a=b");
  CHECK_FALSE(found.contains("OTHER_TEST_VALUE"));
}
