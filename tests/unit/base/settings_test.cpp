#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

#include "base/config.hpp"
#include "scratch_dir.hpp"

using namespace rowcrew;
using namespace std::chrono_literals;
using testing::ScratchDir;
using testing::sentence_of;

namespace {

struct Given {
  ScratchDir dir;
  ConfigSources sources;

  explicit Given(const std::string& yaml) { sources.file = dir.write("rowcrew.yaml", yaml); }
  Settings load() const { return load_config(sources); }
};

template <class F>
std::string refusal(const std::string& yaml, F look_up) {
  const Given given(yaml);
  const Settings worker = given.load().section("worker");
  return sentence_of<ConfigError>([&] { look_up(worker); });
}

}  // namespace

TEST_CASE("a look-up takes the default, then the file, then the environment, then the flag") {
  Given given("worker:\n  stop_within: 20s\n");
  const auto stop_within = [&] {
    return given.load().section("worker").duration("stop_within", 25s, 0s, 10min);
  };
  CHECK(load_config({}).section("worker").duration("stop_within", 25s, 0s, 10min) == 25s);
  CHECK(stop_within() == 20s);
  given.sources.env["ROWCREW_WORKER_STOP_WITHIN"] = "30s";
  CHECK(stop_within() == 30s);
  given.sources.flags["worker.stop_within"] = "40s";
  CHECK(stop_within() == 40s);
}

TEST_CASE("an error names the source that the value came from") {
  Given given("");
  const auto refused = [&] {
    const Settings root = given.load();
    return sentence_of<ConfigError>([&] { root.integer("slots", 1, 1, 9); });
  };
  given.sources.env["ROWCREW_SLOTS"] = "many";
  CHECK(refused() == "slots (from ROWCREW_SLOTS): many is not a whole number, expected 1 to 9");
  given.sources.flags["slots"] = "10";
  CHECK(refused() == "slots (from the command line): 10 is out of range, expected 1 to 9");
}

TEST_CASE("durations, sizes, numbers, flags and choices say key, value and range") {
  const auto lease = [](const Settings& s) { s.duration("lease", 30s, 2s, 10min); };
  CHECK(refusal("worker: {lease: 90}", lease) ==
        "worker.lease: 90 has no unit, expected a duration such as 30s, 2s to 10m");
  CHECK(refusal("worker: {lease: soon}", lease) ==
        "worker.lease: soon is not a duration, expected a duration such as 30s, 2s to 10m");
  CHECK(refusal("worker: {lease: 11m}", lease) ==
        "worker.lease: 11m is out of range, expected 2s to 10m");
  CHECK(refusal("worker: {lease: 1999ms}", lease) ==
        "worker.lease: 1999ms is out of range, expected 2s to 10m");
  CHECK(refusal("worker: {lease: 2s}", lease) == "nothing was thrown");
  CHECK(refusal("worker: {lease: 10m}", lease) == "nothing was thrown");

  const auto body = [](const Settings& s) { s.bytes("body", 1024, 1024, 1048576); };
  CHECK(refusal("worker: {body: 10MB}", body) ==
        "worker.body: 10MB is not a size, expected bytes or a size such as 64KiB, 1KiB to 1MiB");
  CHECK(refusal("worker: {body: 2MiB}", body) ==
        "worker.body: 2MiB is out of range, expected 1KiB to 1MiB");

  const auto slots = [](const Settings& s) { s.integer("slots", 8, 1, 256); };
  CHECK(refusal("worker: {slots: 1e3}", slots) ==
        "worker.slots: 1e3 is not a whole number, expected 1 to 256");
  CHECK(refusal("worker: {slots: 0}", slots) ==
        "worker.slots: 0 is out of range, expected 1 to 256");
  CHECK(refusal("worker: {slots: 99999999999999999999}", slots) ==
        "worker.slots: 99999999999999999999 is out of range, expected 1 to 256");

  const auto audit = [](const Settings& s) { s.flag("audit", true); };
  CHECK(refusal("worker: {audit: yes}", audit) ==
        "worker.audit: yes is not a flag, expected true or false");

  const auto mode = [](const Settings& s) { s.choice("mode", "a", {"a", "b", "c"}); };
  CHECK(refusal("worker: {mode: d}", mode) == "worker.mode: d is not a choice, expected a, b or c");

  const auto name = [](const Settings& s) { s.text("name"); };
  CHECK(refusal("worker: {}", name) == "worker.name: missing, expected a value");

  const auto hosts = [](const Settings& s) { s.texts("hosts", {}); };
  CHECK(refusal("worker: {hosts: a}", hosts) ==
        "worker.hosts: a is a single value, expected a list such as [a, b]");
}

TEST_CASE("a value of the wrong shape is refused with its line") {
  const auto slots = [](const Settings& s) { s.integer("slots", 8, 1, 256); };
  CHECK(refusal("worker:\n  slots: [1]\n", slots) ==
        "worker.slots (line 2): a list was found, expected a whole number, 1 to 256");
  CHECK(refusal("worker:\n  slots:\n    a: 1\n", slots) ==
        "worker.slots (line 2): a section was found, expected a whole number, 1 to 256");
  CHECK(refusal("worker:\n  slots:\n", slots) ==
        "worker.slots (line 2): no value was found, expected a whole number, 1 to 256");
  const auto hosts = [](const Settings& s) { s.texts("hosts", {}); };
  CHECK(refusal("worker:\n  hosts: [a, [b]]\n", hosts) ==
        "worker.hosts (line 2): a list of lists or sections was found, expected a list such as "
        "[a, b]");
  const auto inner = [](const Settings& s) { s.section("inner"); };
  CHECK(refusal("worker:\n  inner: 5\n", inner) ==
        "worker.inner (line 2): a value was found, expected a section of keys");
  CHECK(refusal("worker:\n  inner:\n", inner) == "nothing was thrown");
}

TEST_CASE("scalars mean what is written, whatever YAML 1.1 makes of them") {
  const Given given(
      "country: no\nzip: 010\nversion: 1.10\nquoted: 'true'\nempty: ''\nhex: 0x10\ntilde: '~'\n");
  const Settings root = given.load();
  CHECK(root.text("country") == "no");
  CHECK(root.text("zip") == "010");
  CHECK(root.text("version") == "1.10");
  CHECK(root.flag("quoted", false));
  CHECK(root.text("empty", "x").empty());
  CHECK(root.text("tilde") == "~");
  CHECK_THROWS_AS(root.integer("zip", 0, 0, 100), ConfigError);
  CHECK_THROWS_AS(root.integer("hex", 0, 0, 100), ConfigError);
  CHECK_THROWS_AS(root.flag("country", true), ConfigError);
}

TEST_CASE("a list comes from the file as it is, from elsewhere split at commas") {
  Given given("hosts: [a, 'b, c', no]\nnone: []\n");
  using Words = std::vector<std::string>;
  CHECK(given.load().texts("hosts", {}) == Words{"a", "b, c", "no"});
  CHECK(given.load().texts("none", {"x"}).empty());
  CHECK(given.load().texts("other", {"x"}) == Words{"x"});
  given.sources.env["ROWCREW_HOSTS"] = " d, e f ,g";
  CHECK(given.load().texts("hosts", {}) == Words{"d", "e f", "g"});
  given.sources.env["ROWCREW_HOSTS"] = "";
  CHECK(given.load().texts("hosts", {"x"}).empty());
}

TEST_CASE("names of a free section come in file order, those of flags after them") {
  Given given("queues:\n  mail: {slots: 1}\n  default:\n  api.example.com: {slots: 2}\n");
  given.sources.flags["queues.mail.slots"] = "3";
  given.sources.flags["queues.extra.slots"] = "4";
  given.sources.flags["queues.api.example.com.slots"] = "5";
  const Settings queues = given.load().section("queues");
  CHECK(queues.names() == std::vector<std::string>{"mail", "default", "api.example.com", "extra"});
  CHECK(queues.section("api.example.com").integer("slots", 0, 0, 9) == 5);
  CHECK(queues.section("default").integer("slots", 7, 0, 9) == 7);
  CHECK(given.load().section("missing").names().empty());
  CHECK(given.load().names() == std::vector<std::string>{"queues"});
}

TEST_CASE("a variable names what neither file nor flag does, of a section at the top") {
  Given given("queues:\n  Photo-Large: 1\nkinds: {allow: {ping: {}}}\n");
  given.sources.env = {{"ROWCREW_QUEUES_PHOTO_LARGE", "3"}, {"ROWCREW_QUEUES_MAIL", "4"}, {"ROWCREW_QUEUES_", "5"},
                       {"ROWCREW_QUEUESMAIL", "6"},         {"ROWCREW_KINDS_ALLOW_PONG", "7"}};
  const Settings root = given.load();
  const Settings queues = root.section("queues");
  CHECK(queues.names() == std::vector<std::string>{"Photo-Large", "mail"});
  CHECK(queues.integer("Photo-Large", 0, 0, 9) == 3);
  CHECK(queues.integer("mail", 0, 0, 9) == 4);
  CHECK(root.section("kinds").section("allow").names() == std::vector<std::string>{"ping"});
}

TEST_CASE("has() sees every source, and keys without a value") {
  Given given("a: 1\nb:\n");
  given.sources.env["ROWCREW_C"] = "";
  given.sources.flags["d"] = "x";
  const Settings root = given.load();
  CHECK(root.has("a"));
  CHECK(root.has("b"));
  CHECK(root.has("c"));
  CHECK(root.has("d"));
  CHECK_FALSE(root.has("e"));
}

TEST_CASE("the description shows effective values in key order") {
  Given given("worker:\n  lease: 90s\n  name: \"a b\\n\"\n");
  given.sources.env["ROWCREW_WORKER_SLOTS"] = "4";
  const Settings root = given.load();
  const Settings worker = root.section("worker");
  worker.integer("slots", 8, 1, 256);
  worker.duration("lease", 30s, 2s, 10min);
  worker.text("name");
  worker.bytes("body", 65536, 1, 1048576);
  worker.flag("audit", true);
  worker.texts("hosts", {"a", "b c"});
  worker.has("unread");
  root.choice("log", "auto", {"auto", "json"});
  CHECK(describe_config(root) ==
        "log = auto\n"
        "worker.audit = true\n"
        "worker.body = 64KiB\n"
        "worker.hosts = [a, \"b c\"]\n"
        "worker.lease = 90s\n"
        "worker.name = \"a b\\n\"\n"
        "worker.slots = 4\n");
}
