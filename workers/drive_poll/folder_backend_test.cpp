#include "folder_backend.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

#include "support/kind_bench.hpp"

namespace rowcrew::drive_poll {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::KindBench;

struct Bench : KindBench {
  explicit Bench(const std::string& lines = "")
      : KindBench("kinds: {drive_poll: {program: /bin/true" + lines + "}}"),
        backend(children, clock, kinds.section("drive_poll")) {
    folder.backend = "folder";
    folder.path = "/srv/in";
  }

  Listing list(std::chrono::milliseconds left = 1h) {
    return testing::run(io, backend.list_new(folder, clock.mono() + left));
  }

  FolderBackend backend;
  WatchedFolder folder;
};

ChildResult said(const std::string& output, int exit_code = 0) {
  ChildResult result;
  result.output = output;
  result.exit_code = exit_code;
  return result;
}

constexpr const char* kNothing = R"({"files": [], "young": 0, "more": false})";

template <class E>
std::string code_of(const ChildResult& result) {
  try {
    judge(result);
  } catch (const E& error) {
    CHECK(std::string(error.what()).ends_with(error.code() == "folder_timeout" ? "?" : "."));
    return error.code();
  }
  return "";
}

TEST_CASE("folder backend: the program gets the request on stdin, within limits") {
  Bench bench(", extensions: [JPG, heic], max_files: 7, max_bytes: 1MiB, max_memory: 128MiB");
  bench.folder.path = "/srv/\"in\"\n";
  bench.folder.settle = 300ms;
  bench.folder.known =
      R"([{"device": 1, "inode": 18446744073709551615, "size": 3, "mtime_ns": 4}])";
  bench.children.end(said(kNothing));
  bench.list(20s);
  const ChildRequest& request = bench.children.requests.at(0);
  CHECK(request.argv == std::vector<std::string>{"/bin/true"});
  CHECK(request.timeout == 20s);
  CHECK(request.env.empty());
  CHECK(json::parse(request.input) == json::parse(R"({"path": "/srv/\"in\"\n", "settle_ms": 300,
    "extensions": ["jpg", "heic"], "max_files": 7, "max_bytes": 1048576, "max_ms": 10000,
    "known": [{"device": 1, "inode": 18446744073709551615, "size": 3, "mtime_ns": 4}]})"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(request.max_memory_bytes == 128ULL << 20);
#endif

  bench.children.end(said(kNothing));
  bench.list(1h);
  CHECK(bench.children.requests.at(1).timeout == 60s);
}

TEST_CASE("folder backend: a path that is none never reaches the program") {
  for (const std::string path :
       {"", "/", "srv/in", "./in", "/srv/../etc", "/srv/./in", "//srv", "/srv//in", "/..", "/.",
        "C:\\in", "~/in"}) {
    CAPTURE(path);
    CHECK_FALSE(is_usable_path(path));
    Bench bench;
    bench.folder.path = path;
    CHECK_THROWS_AS(bench.list(), PermanentError);
  }
  CHECK_FALSE(is_usable_path(std::string_view("/srv\0/in", 8)));
  CHECK_FALSE(is_usable_path("/" + std::string(4'000, 'x')));
  for (const std::string path : {"/srv", "/srv/in", "/srv/in/", "/srv/...", "/srv/a b\n"}) {
    CAPTURE(path);
    CHECK(is_usable_path(path));
  }
}

TEST_CASE("folder backend: a report becomes a listing") {
  const Listing listing = judge(said(R"({"files": [{"name": "a"}], "young": 2, "more": true})"));
  CHECK(listing.files == json::parse(R"([{"name": "a"}])"));
  CHECK(listing.young == 2);
  CHECK(listing.more);
}

TEST_CASE("folder backend: troubles of the folder fail, troubles of the moment are retried") {
  for (const std::string code :
       {"folder_missing", "not_a_folder", "folder_unreadable", "folder_too_large"}) {
    CHECK(code_of<PermanentError>(
              said(R"({"error": {"code": ")" + code + R"(", "message": "It is."}})")) == code);
  }
  CHECK(code_of<PermanentError>(said("", 64)) == "bad_folder");
  ChildResult late;
  late.timed_out = true;
  late.signal = 15;
  CHECK(code_of<TransientError>(late) == "folder_timeout");
  ChildResult killed;
  killed.signal = 9;
  CHECK(code_of<TransientError>(killed) == "folder_crashed");
  ChildResult long_report = said(kNothing);
  long_report.output_truncated = true;
  CHECK(code_of<TransientError>(long_report) == "folder_crashed");
  CHECK(code_of<TransientError>(said(kNothing, 1)) == "folder_crashed");
  for (const char* output :
       {"", "nonsense", "[]", "{}", R"({"files": 1, "young": 0, "more": false})",
        R"({"files": [], "young": "0", "more": false})", R"({"error": "x"})",
        R"({"error": {"code": "made_up", "message": "Boo."}})"}) {
    CAPTURE(output);
    CHECK(code_of<TransientError>(said(output)) == "folder_crashed");
  }
}

TEST_CASE("folder backend: the configuration is checked") {
  for (const char* lines : {", extensions: []", ", extensions: [.jpg]", ", extensions: ['']",
                            ", timeout: 2h", ", max_files: 0", ", max_memory: 1MiB"}) {
    CAPTURE(lines);
    CHECK_THROWS_AS(Bench{lines}, ConfigError);
  }
  const auto with_program = [](const std::string& program) {
    const auto settings = testing::settings_from("program: " + program);
    return FolderSettings(settings).program;
  };
  CHECK_THROWS_AS(with_program("rowcrew-folder"), ConfigError);
  CHECK_THROWS_AS(with_program("/no/such/program"), ConfigError);
  CHECK(FolderSettings(testing::settings_from("{}")).program.ends_with("/rowcrew-folder"));
}

}  // namespace
}  // namespace rowcrew::drive_poll
