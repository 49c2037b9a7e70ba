#include "net/metrics_endpoint.hpp"

#include <doctest/doctest.h>

#include <rowcrew/error.hpp>

#include "base/config.hpp"

using namespace rowcrew;

namespace {

MetricsAnswers answers(std::string_view hindrance) {
  MetricsAnswers all;
  all.metrics = [] { return std::string("up 1\n"); };
  all.hindrance = [hindrance] { return hindrance; };
  return all;
}

std::string listen(const std::string& address) {
  ConfigSources sources;
  sources.flags = {{"metrics.listen", address}};
  const Settings root = load_config(sources);
  try {
    return read_metrics_listen(root);
  } catch (const ConfigError& e) {
    return std::string("refused: ") + e.what();
  }
}

}  // namespace

TEST_CASE("scrape: metrics come as the text format of Prometheus") {
  const ServerResponse found = answer_scrape("GET", "/metrics", answers(""));
  CHECK(found.status == 200);
  CHECK(found.content_type == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(found.body == "up 1\n");
  CHECK(answer_scrape("HEAD", "/metrics", answers("")).status == 200);
}

TEST_CASE("scrape: ready is 200, or 503 with the reason; health does not ask for it") {
  CHECK(answer_scrape("GET", "/readyz", answers("")).status == 200);
  const ServerResponse not_now = answer_scrape("GET", "/readyz", answers("draining"));
  CHECK(not_now.status == 503);
  CHECK(not_now.body == "draining\n");
  CHECK(answer_scrape("GET", "/healthz", answers("draining")).status == 200);
}

TEST_CASE("scrape: other paths are 404, other methods 405") {
  for (const char* const path : {"/", "/metrics/", "/v1/jobs", ""}) CHECK(answer_scrape("GET", path, answers("")).status == 404);
  for (const char* const path : {"/metrics", "/healthz", "/readyz"}) {
    const ServerResponse refused = answer_scrape("POST", path, answers(""));
    CHECK(refused.status == 405);
    REQUIRE(refused.headers.size() == 1);
    CHECK(refused.headers[0].second == "GET, HEAD");
  }
}

TEST_CASE("metrics.listen: nothing by default, and what is no address is refused before anything is opened") {
  CHECK(read_metrics_listen(load_config({})).empty());
  for (const char* const good : {"127.0.0.1:9464", "[::1]:0", "localhost:1", "unix:/run/rowcrew/metrics"}) CHECK(listen(good) == good);
  CHECK(listen("9464") == "refused: metrics.listen: address \"9464\" is malformed, expected host:port, [::1]:port or unix:/path");
  CHECK(listen("somewhere:9464").starts_with("refused: metrics.listen: address"));
  CHECK(listen("127.0.0.1:70000").starts_with("refused: metrics.listen: address"));
  CHECK(listen("unix:relative").starts_with("refused: metrics.listen: address"));
}
