#include <doctest/doctest.h>

#include <optional>

#include <rowcrew/registry.hpp>

#include "drive_poll_handler.hpp"
#include "support/fake_db.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::drive_poll {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::FakeDb;
using testing::KindBench;
using Cells = std::vector<std::optional<std::string>>;

class FakeBackend final : public DriveBackend {
 public:
  boost::asio::awaitable<Listing> list_new(const WatchedFolder& folder, Mono) override {
    asked.push_back(folder);
    co_return listing;
  }
  std::vector<WatchedFolder> asked;
  Listing listing;
};

struct Bench : KindBench {
  explicit Bench(const std::string& yaml = "{}") : KindBench(yaml) {
    database.answer = [this](const FakeDb::Asked& asked) {
      if (asked.name == "drive_poll_folder") return folder ? testing::one_row(*folder) : Rows(5);
      return testing::one_row({"2"});
    };
  }

  Outcome poll(const std::string& payload = R"({"folder": "f1"})") {
    Backends backends;
    auto fake = std::make_unique<FakeBackend>();
    fake->listing = listing;
    backend = fake.get();
    backends.emplace("folder", std::move(fake));
    handler.emplace(with, std::move(backends));
    return run(*handler, payload);
  }
  std::string refusal(const std::string& payload = R"({"folder": "f1"})") {
    try {
      poll(payload);
    } catch (const PermanentError& error) {
      return error.code();
    }
    return "";
  }

  std::optional<Cells> folder = Cells{"folder", "/srv/in", "250", R"([{"inode": 1}])", R"({"backend": "folder"})"};
  Listing listing;
  FakeBackend* backend = nullptr;
  FakeDb database;
  Deps with{database, ports, http, mail, children, clock, random, log, kinds};
  std::optional<DrivePollHandler> handler;
};

TEST_CASE("drive poll: a folder that is not watched any more is skipped") {
  Bench bench;
  bench.folder.reset();
  const json result = json::parse(std::get<Completed>(bench.poll()).result);
  CHECK(result.contains("skipped"));
  CHECK(bench.backend->asked.empty());
}

TEST_CASE("drive poll: new files go to the port in batches, and none are no call") {
  Bench bench;
  CHECK(std::get<Completed>(bench.poll()).result == R"({"found":0,"new":0,"young":0})");
  CHECK(bench.database.asked.size() == 1);

  bench.job.app = "shop";
  for (int i = 0; i < 250; ++i) bench.listing.files.push_back({{"name", std::to_string(i)}});
  bench.listing.files.push_back({{"name", "x"}, {"problem", "file_name"}});
  bench.listing.young = 3;
  bench.listing.more = true;
  bench.database.asked.clear();
  const json result = json::parse(std::get<Completed>(bench.poll()).result);
  CHECK(result ==
        json::parse(R"({"found": 250, "new": 6, "young": 3, "problems": 1, "more": true})"));
  REQUIRE(bench.database.asked.size() == 4);
  std::vector<std::string> handed;
  for (std::size_t i = 1; i < 4; ++i) {
    CHECK(bench.database.asked[i].name == "drive_poll_found");
    CHECK(bench.database.asked[i].params[0] == "f1");
    const json batch = json::parse(*bench.database.asked[i].params[1]);
    CHECK(batch.size() == (i < 3 ? 100 : 51));
    for (const json& file : batch) handed.push_back(file.at("name").get<std::string>());
  }
  CHECK(handed.size() == 251);
  CHECK(handed.front() == "0");
  CHECK(handed.back() == "x");
  CHECK(bench.ports.apps.contains("shop"));
}

TEST_CASE("drive poll: the backend gets what the port says, and the configured settle time else") {
  Bench bench("kinds: {drive_poll: {settle: 2s}}");
  bench.poll();
  CHECK(bench.backend->asked.at(0).path == "/srv/in");
  CHECK(bench.backend->asked.at(0).settle == 250ms);
  CHECK(bench.backend->asked.at(0).known == R"([{"inode": 1}])");
  bench.folder->at(2) = std::nullopt;
  bench.poll();
  CHECK(bench.backend->asked.at(0).settle == 2s);
}

TEST_CASE("drive poll: what the port says wrongly fails the job") {
  Bench bench;
  for (const char* settle : {"-1", "10001", "soon", "1.5", ""}) {
    CAPTURE(settle);
    bench.folder->at(2) = settle;
    CHECK(bench.refusal() == "bad_folder");
  }
  bench.folder = Cells{"tape", "/srv/in", std::nullopt, "[]", "{}"};
  CHECK(bench.refusal() == "unknown_backend");
  bench.folder->at(0) = std::nullopt;
  CHECK(bench.refusal() == "unknown_backend");
}

TEST_CASE("drive poll: any other payload is refused before a port is asked") {
  Bench bench;
  for (const char* payload :
       {"{}", R"({"folder": 1})", R"({"folder": "a", "path": "/etc"})", R"({"path": "/etc"})"}) {
    CAPTURE(payload);
    CHECK(bench.refusal(payload) == "bad_payload");
  }
  CHECK(bench.database.asked.empty());
}

TEST_CASE("drive poll: is registered under its name") {
  Bench bench;
  Registry registry;
  register_drive_poll(registry, bench.with);
  CHECK(registry.find("drive_poll") != nullptr);
}

}  // namespace
}  // namespace rowcrew::drive_poll
