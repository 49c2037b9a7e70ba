// Looks at a watched folder of Google Drive, with answers from a script.
#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <fstream>

#include <rowcrew/error.hpp>

#include "support/google_drive_bench.hpp"

namespace rowcrew::drive_poll {
namespace {

TEST_CASE("google drive: the first look lists the folder, the second again, then changes are followed") {
  Bench b;
  b.answers_text(kToken);
  b.answers_text(kIsFolder);
  b.answers({{"startPageToken", "8"}});
  b.answers({{"files", {file_of("a", "a.jpg")}}, {"nextPageToken", "n"}});
  b.answers_text("photo");
  b.answers({{"files", {file_of("d", "d.txt")}}});
  // d.txt is taken by its type: the name says nothing that is configured
  b.answers_text("photo");
  Listing listing = b.look();
  CHECK(names_of(listing) == Names{"a.jpg", "d.txt"});
  CHECK(listing.position == "again:8");
  CHECK_FALSE(listing.more);
  const json& file = listing.files.at(0);
  CHECK(file.at("path").get<std::string>().starts_with(b.path.string() + "/"));
  CHECK(file.at("path").get<std::string>().ends_with("-a-" + kMd5OfPhoto + ".jpg"));
  CHECK(file.at("sha256") == kSha256OfPhoto);
  CHECK(b.spooled() == 2);
  CHECK(b.http.requests.at(0).url == "https://oauth2.googleapis.com/token");
  CHECK(b.http.requests.at(0).body == "client_id=c1&client_secret=cs&refresh_token=1%2F%2Fsecret&grant_type=refresh_token");
  for (std::size_t i = 1; i < b.http.requests.size(); ++i) {
    CHECK(b.http.requests[i].url.starts_with("https://www.googleapis.com/drive/v3/"));
    CHECK(b.http.requests[i].headers.at(0) == std::pair<std::string, std::string>("Authorization", "Bearer ya29.secret"));
  }

  // The node died before anybody heard of it: the same again, and nothing is downloaded twice.
  b.describe("again:8");
  b.answers_text(kIsFolder);
  b.answers({{"files", {file_of("a", "a.jpg"), file_of("late", "late.jpg")}}});
  b.answers_text("photo");
  listing = b.look();
  CHECK(names_of(listing) == Names{"a.jpg", "late.jpg"});
  CHECK(listing.position == "8");

  b.describe("8");
  b.folder.known = json::parse(R"([{"id": "a", "md5": ")" + kMd5OfPhoto + R"("}])").dump();
  b.changes({file_of("a", "renamed.jpg")}, "", "10");
  b.changes({}, "11");
  listing = b.look();
  CHECK(listing.files.empty());
  CHECK(listing.position == "11");
}

TEST_CASE("google drive: files of one look come once, whatever page they are on") {
  Bench b;
  b.describe("8");
  b.answers_text(kToken);
  b.changes({file_of("a", "a.jpg")}, "", "9");
  b.answers_text("photo");
  b.changes({file_of("a", "a.jpg")}, "10");
  CHECK(names_of(b.look()) == Names{"a.jpg"});
}

TEST_CASE("google drive: what was not finished keeps the position before it") {
  Bench b(", max_files: 2");
  b.describe("8");
  b.answers_text(kToken);
  b.changes({file_of("a", "a.jpg")}, "", "9");
  b.answers_text("photo");
  b.changes({file_of("b", "b.jpg"), file_of("c", "c.jpg")}, "", "10");
  b.answers_text("photo");
  Listing listing = b.look();
  CHECK(names_of(listing) == Names{"a.jpg", "b.jpg"});
  CHECK(listing.more);
  CHECK(listing.position == "9");

  b.describe("9");
  b.folder.known = json::parse(R"([{"id": "b", "md5": ")" + kMd5OfPhoto + R"("}])").dump();
  b.changes({file_of("b", "b.jpg"), file_of("c", "c.jpg")}, "10");
  b.answers_text("photo");
  listing = b.look();
  CHECK(names_of(listing) == Names{"c.jpg"});
  CHECK(listing.position == "10");
}

TEST_CASE("google drive: a list that was not finished is read again from its beginning") {
  Bench b(", max_files: 1");
  b.answers_text(kToken);
  b.answers_text(kIsFolder);
  b.answers({{"startPageToken", "8"}});
  b.answers({{"files", {file_of("a", "a.jpg"), file_of("b", "b.jpg")}}});
  b.answers_text("photo");
  Listing listing = b.look();
  CHECK(names_of(listing) == Names{"a.jpg"});
  CHECK(listing.more);
  CHECK(listing.position == "");

  b.describe("again:8");
  b.answers_text(kIsFolder);
  b.answers({{"files", {file_of("a", "a.jpg"), file_of("b", "b.jpg")}}});
  listing = b.look();
  CHECK(names_of(listing) == Names{"a.jpg"});
  CHECK(listing.position == "again:8");
}

TEST_CASE("google drive: files that cannot be taken are told, and only passing troubles are looked at again") {
  Bench b(", max_bytes: 1KiB");
  b.describe("8");
  b.answers_text(kToken);
  const auto once = [&](const json& file) {
    b.describe("8");
    b.changes({file}, "9");
    return file;
  };
  once(file_of("big", "big.jpg", 5'000));
  Listing listing = b.look();
  CHECK(names_of(listing) == Names{"big.jpg file_too_large"});
  CHECK(listing.position == "9");

  once(file_of("bad", "bad.jpg"));
  b.refuses(403, "cannotDownloadAbusiveFile");
  listing = b.look();
  CHECK(names_of(listing) == Names{"bad.jpg file_unreadable"});
  CHECK(listing.position == "9");

  once(file_of("gone", "gone.jpg"));
  b.refuses(404, "notFound");
  listing = b.look();
  CHECK(listing.files.empty());
  CHECK(listing.position == "9");

  once(file_of("odd", "odd.jpg"));
  b.answers_text("other");
  listing = b.look();
  CHECK(names_of(listing) == Names{"odd.jpg file_changed"});
  CHECK(listing.position == "8");

  once(file_of("much", "much.jpg"));
  b.http.fail(PermanentError("http_body_too_large", "http: longer"));
  listing = b.look();
  CHECK(names_of(listing) == Names{"much.jpg file_changed"});
  CHECK(listing.position == "8");

  once(file_of("slow", "slow.jpg"));
  b.http.fail(TransientError("http_timeout", "http: late"));
  listing = b.look();
  CHECK(names_of(listing) == Names{"slow.jpg file_slow"});
  CHECK(listing.position == "8");

  once(file_of("loved", "loved.jpg"));
  b.refuses(403, "downloadQuotaExceeded");
  listing = b.look();
  CHECK(names_of(listing) == Names{"loved.jpg file_quota"});
  CHECK(listing.position == "8");
  CHECK(b.spooled() == 0);
}

TEST_CASE("google drive: a file that fails for now does not keep the others, and nothing but such ends as a retry") {
  Bench b;
  b.describe("8");
  b.answers_text(kToken);
  b.changes({file_of("a", "a.jpg"), file_of("b", "b.jpg")}, "9");
  b.refuses(503, "backendError");
  b.answers_text("photo");
  Listing listing = b.look();
  CHECK(names_of(listing) == Names{"b.jpg"});
  CHECK(listing.position == "8");
  CHECK(listing.more);
  CHECK_FALSE(listing.otherwise);

  b.changes({file_of("1", "1.jpg"), file_of("2", "2.jpg"), file_of("3", "3.jpg"), file_of("4", "4.jpg")}, "9");
  b.refuses(503, "backendError");
  b.http.fail(TransientError("http_transfer", "http: broke off"));
  b.refuses(500, "internalError");
  listing = b.look();
  REQUIRE(listing.otherwise);
  CHECK(std::get<Retry>(*listing.otherwise).code == "google_drive_http_503");
}

TEST_CASE("google drive: a full disk and a spool that is away are told as what they are") {
  Bench b;
  b.describe("8");
  b.answers_text(kToken);
  b.changes({file_of("a", "a.jpg")}, "9");
  b.http.fail(TransientError("http_disk", "http: file could not be written: No space left on device"));
  CHECK_THROWS_WITH_AS(b.look(), "http: file could not be written: No space left on device", TransientError);
  fs::remove_all(b.path);
  b.changes({file_of("a", "a.jpg")}, "9");
  b.answers_text("photo");
  try {
    b.look();
    FAIL("the spool is away");
  } catch (const TransientError& error) {
    CHECK(error.code() == "drive_spool");
  }
}

TEST_CASE("google drive: what dead nodes left half downloaded is removed, what is under way is not") {
  Bench b;
  const fs::path old = b.path / ".x-old.jpg.0000000000000001.part";
  const fs::path young = b.path / ".x-young.jpg.0000000000000002.part";
  const fs::path done = b.path / "x-done.jpg";
  for (const auto& path : {old, young, done}) std::ofstream(path) << "x";
  for (const auto& path : {old, done}) fs::last_write_time(path, fs::file_time_type::clock::now() - 2h);
  b.describe("8");
  b.answers_text(kToken);
  b.changes({}, "9");
  b.look();
  CHECK_FALSE(fs::exists(old));
  CHECK(fs::exists(young));
  CHECK(fs::exists(done));
}

TEST_CASE("google drive: two looks at one folder are not side by side") {
  Bench b;
  b.describe("8");
  b.answers_text(kToken);
  b.changes({file_of("a", "a.jpg")}, "9");  // whose download is kept by a thread of its own
  b.answers_text("photo");
  std::vector<Listing> listings;
  for (int i = 0; i < 2; ++i) {
    boost::asio::co_spawn(b.io, b.backend->list_new(b.folder, b.clock.mono() + 1h),
                          [&](std::exception_ptr error, Listing listing) {
                            if (!error) listings.push_back(std::move(listing));
                          });
  }
  b.io.restart();
  b.io.run();
  REQUIRE(listings.size() == 2);
  const auto other = std::find_if(listings.begin(), listings.end(), [](const Listing& l) { return l.otherwise.has_value(); });
  REQUIRE(other != listings.end());
  CHECK(std::get<Snooze>(*other->otherwise).after == 1s);
  CHECK(b.http.requests.size() == 3);
  b.changes({}, "10");
  CHECK_FALSE(b.look().otherwise);
}

TEST_CASE("google drive: a page token that Google does not know is no end, the folder is listed") {
  Bench b;
  b.describe("8");
  b.answers_text(kToken);
  b.refuses(400, "invalid");
  b.answers_text(kIsFolder);
  b.answers({{"startPageToken", "20"}});
  b.answers({{"files", json::array()}});
  const Listing listing = b.look();
  CHECK_FALSE(listing.otherwise);
  CHECK(listing.position == "again:20");
}

TEST_CASE("google drive: a folder that is gone, none or not ours fails") {
  const auto code = [](const std::string& description) {
    Bench b;
    b.answers_text(kToken);
    b.answers_text(description);
    try {
      b.look();
    } catch (const PermanentError& error) {
      return error.code();
    }
    return std::string();
  };
  CHECK(code(R"({"mimeType": "image/png"})") == "not_a_folder");
  CHECK(code(R"({"mimeType": "application/vnd.google-apps.folder", "trashed": true})") == "folder_missing");
  Bench b;
  b.answers_text(kToken);
  b.refuses(404, "notFound");
  CHECK(std::get<Failed>(*b.look().otherwise).code == "folder_missing");
  b.describe("8");
  b.answers({{"changes", {{{"changeType", "file"}, {"removed", true}, {"fileId", "F"}}}}, {"newStartPageToken", "9"}});
  CHECK_THROWS_AS(b.look(), PermanentError);
}

/// Every call takes its time.
class SlowHttp final : public HttpClient {
 public:
  SlowHttp(HttpClient& inner, testing::FakeClock& clock) : inner_(inner), clock_(clock) {}
  boost::asio::awaitable<HttpResponse> send(HttpRequest request) override {
    timeouts.push_back(request.timeout);
    clock_.advance(1'500ms);
    return inner_.send(std::move(request));
  }
  std::vector<std::chrono::milliseconds> timeouts;

 private:
  HttpClient& inner_;
  testing::FakeClock& clock_;
};

TEST_CASE("google drive: past half of the time no file is begun, and none takes more than three eighths") {
  Bench b(", timeout: 10s");
  SlowHttp slow(b.http, b.clock);
  Deps deps{b.db, b.ports, slow, b.mail, b.children, b.clock, b.random, b.log, b.kinds};
  b.backend = make_google_drive_backend(deps);
  b.describe("8");
  b.answers_text(kToken);
  b.changes({file_of("a", "a.jpg"), file_of("b", "b.jpg"), file_of("c", "c.jpg")}, "9");
  b.answers_text("photo");
  b.answers_text("photo");
  const Listing listing = b.look();
  CHECK(names_of(listing) == Names{"a.jpg", "b.jpg"});
  CHECK(listing.more);
  CHECK(listing.position == "8");
  CHECK(slow.timeouts == std::vector<std::chrono::milliseconds>{15s, 10s, 3'750ms, 3'750ms});
}

}  // namespace
}  // namespace rowcrew::drive_poll
