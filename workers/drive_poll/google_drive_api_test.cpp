// Access tokens and lanes of accounts on Google Drive, and the configuration.
#include <doctest/doctest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <rowcrew/error.hpp>

#include "support/google_drive_bench.hpp"

namespace rowcrew::drive_poll {
namespace {

TEST_CASE("google drive: too many calls close the account, not the others, and cost no attempt") {
  Bench b;
  b.describe("8");
  b.answers_text(kToken);
  b.refuses(403, "userRateLimitExceeded");
  Listing listing = b.look();
  REQUIRE(listing.otherwise);
  CHECK(std::get<Snooze>(*listing.otherwise).after == 60s);
  CHECK(b.log.lines("drive_poll.closed").size() == 1);
  const auto calls = b.http.requests.size();
  b.clock.advance(20s);
  listing = b.look();
  CHECK(std::get<Snooze>(*listing.otherwise).after == 40s);
  CHECK(b.http.requests.size() == calls);

  json other = json::parse(b.folder.description);
  other["account"] = "8";
  b.folder.description = other.dump();
  b.answers_text(kToken);
  b.changes({}, "9");
  CHECK_FALSE(b.look().otherwise);
}

TEST_CASE("google drive: an owner who took his access back fails the job at once, until he has connected anew") {
  Bench b;
  const json gone = {{"error", "invalid_grant"}, {"error_description", "Token has been expired or revoked."}};
  b.describe("8");
  b.http.answer(400, {}, gone.dump());
  for (int i = 0; i < 2; ++i) {  // the second time nobody asks Google
    const Listing listing = b.look();
    REQUIRE(listing.otherwise);
    CHECK(std::get<Failed>(*listing.otherwise).code == "google_drive_disconnected");
  }
  CHECK(b.http.requests.size() == 1);
  b.describe("8", "1//fresh");
  b.answers_text(kToken);
  b.changes({}, "9");
  CHECK_FALSE(b.look().otherwise);
}

TEST_CASE("google drive: a client that Google does not know concerns all accounts") {
  Bench b;
  b.describe("8");
  b.http.answer(401, {}, R"({"error": "invalid_client"})");
  CHECK(std::get<Snooze>(*b.look().otherwise).after == 30s);
  json other = json::parse(b.folder.description);
  other["account"] = "8";
  b.folder.description = other.dump();
  CHECK(std::holds_alternative<Snooze>(*b.look().otherwise));
  CHECK(b.http.requests.size() == 1);
}

TEST_CASE("google drive: access tokens are made anew before they end and when they are refused, once") {
  Bench b;
  b.describe("8");
  b.answers_text(kToken);
  b.changes({}, "8");
  b.look();
  b.changes({}, "8");
  b.look();
  CHECK(b.http.requests.size() == 3);
  b.clock.advance(3'299s);
  b.answers_text(R"({"access_token": "second", "expires_in": 3599})");
  b.changes({}, "8");
  b.look();
  CHECK(b.http.requests.size() == 5);
  CHECK(b.http.requests.back().headers.at(0).second == "Bearer second");

  b.refuses(401, "authError");
  b.answers_text(R"({"access_token": "third", "expires_in": 3599})");
  b.changes({}, "8");
  CHECK_FALSE(b.look().otherwise);
  CHECK(b.http.requests.back().headers.at(0).second == "Bearer third");

  b.refuses(401, "authError");
  b.answers_text(kToken);
  b.refuses(401, "authError");
  CHECK(std::get<Snooze>(*b.look().otherwise).after == 30s);
}

/// No answer comes at once.
class LaterHttp final : public HttpClient {
 public:
  explicit LaterHttp(HttpClient& inner) : inner_(inner) {}
  boost::asio::awaitable<HttpResponse> send(HttpRequest request) override {
    const auto executor = co_await boost::asio::this_coro::executor;
    for (int turn = 0; turn < 5; ++turn) co_await boost::asio::post(executor, boost::asio::use_awaitable);
    co_return co_await inner_.send(std::move(request));
  }

 private:
  HttpClient& inner_;
};

TEST_CASE("google drive: looks of one account that begin together make one access token") {
  Bench b;
  LaterHttp later(b.http);
  Deps deps{b.db, b.ports, later, b.mail, b.children, b.clock, b.random, b.log, b.kinds};
  b.backend = make_google_drive_backend(deps);
  b.describe("8");
  b.answers_text(kToken);
  for (int i = 0; i < 3; ++i) b.changes({}, "8");
  int done = 0;
  std::vector<WatchedFolder> folders;
  for (int i = 0; i < 3; ++i) {
    b.folder.id = std::to_string(i);
    folders.push_back(b.folder);
  }
  for (const WatchedFolder& folder : folders) {
    boost::asio::co_spawn(b.io, b.backend->list_new(folder, b.clock.mono() + 1h),
                          [&](std::exception_ptr error, const Listing& listing) { done += !error && !listing.otherwise ? 1 : 0; });
  }
  b.io.restart();
  b.io.run();
  CHECK(done == 3);
  CHECK(b.http.requests.size() == 4);
}

TEST_CASE("google drive: no secret reaches the log, and the configuration is checked") {
  Bench b;
  b.describe("8");
  b.answers_text(kToken);
  b.refuses(403, "userRateLimitExceeded");
  b.look();
  for (const auto& line : b.log.lines()) {
    CHECK(line.message.find("secret") == std::string::npos);
    for (const auto& [key, value] : line.fields) CHECK(value.find("secret") == std::string::npos);
  }
  for (const char* google : {"{client_id: c}", "{client_id: c, client_secret: s, spool: in}", "{client_id: c, client_secret: s, spool: /no/such}",
                             "{client_id: c, spool: /tmp}", "{client_secret: s, spool: /tmp}", "{client_id: c, client_secret: s, spool: /tmp, api: 'ftp://x'}"}) {
    CAPTURE(google);
    KindBench bench(std::string("kinds: {drive_poll: {program: /bin/true, google_drive: ") + google + "}}");
    CHECK_THROWS_AS(make_google_drive_backend(bench.deps), ConfigError);
  }
  KindBench none("kinds: {drive_poll: {program: /bin/true}}");
  CHECK(make_google_drive_backend(none.deps) == nullptr);
}

}  // namespace
}  // namespace rowcrew::drive_poll
