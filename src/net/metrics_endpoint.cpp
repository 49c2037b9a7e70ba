#include "net/metrics_endpoint.hpp"

#include <fmt/format.h>

#include <rowcrew/error.hpp>

#include "base/event.hpp"
#include "net/http_listen.hpp"

namespace rowcrew {
namespace {

using namespace std::chrono_literals;

constexpr const char* kPlain = "text/plain; charset=utf-8";
constexpr const char* kExposition = "text/plain; version=0.0.4; charset=utf-8";

ServerResponse word(int status, std::string_view text) { return {status, kPlain, fmt::format("{}\n", text)}; }

ConfigError of_key(const ConfigError& error) { return ConfigError(fmt::format("metrics.listen: {}", error.what())); }

}  // namespace

std::string read_metrics_listen(const Settings& root) {
  std::string listen = root.section("metrics").text("listen", "");
  try {
    if (!listen.empty()) check_listen(listen);
  } catch (const ConfigError& e) {
    throw of_key(e);
  }
  return listen;
}

ServerResponse answer_scrape(std::string_view method, std::string_view path, const MetricsAnswers& answers) {
  if (path != "/metrics" && path != "/healthz" && path != "/readyz") return word(404, "no such path, expected /metrics, /healthz or /readyz");
  if (method != "GET" && method != "HEAD") {
    ServerResponse refused = word(405, "expected GET or HEAD");
    refused.headers.emplace_back("Allow", "GET, HEAD");
    return refused;
  }
  if (path == "/metrics") return {200, kExposition, answers.metrics()};
  if (path == "/healthz") return word(200, "ok");
  const std::string_view hindrance = answers.hindrance();
  return hindrance.empty() ? word(200, "ready") : word(503, hindrance);
}

std::unique_ptr<HttpServer> make_metrics_server(boost::asio::any_io_executor executor, const std::string& listen, MetricsAnswers answers,
                                                Log& log) {
  HttpServerOptions options;
  options.listen = listen;
  options.max_body_bytes = 1024;
  options.request_deadline = 2s;  // a stop waits so long for whoever has sent half a request
  options.max_connections = 32;
  options.pace = 2ms;  // the event thread has jobs to run, whoever asks here and how often
  auto answer = [answers = std::move(answers)](ServerRequest request) -> boost::asio::awaitable<ServerResponse> {
    co_return answer_scrape(request.method, request.path, answers);
  };
  try {
    auto server = std::make_unique<HttpServer>(std::move(executor), std::move(options), std::move(answer), log);
    log.info(event::kMetricsListening, {{"address", listen}, {"port", server->port()}});
    return server;
  } catch (const ConfigError& e) {
    throw of_key(e);
  }
}

}  // namespace rowcrew
