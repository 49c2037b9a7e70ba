#include "http_handler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <rowcrew/deps.hpp>
#include <rowcrew/error.hpp>
#include <rowcrew/registry.hpp>
#include <rowcrew/retry_after.hpp>

#include "http_args.hpp"

namespace rowcrew::http {
namespace {

using namespace std::chrono_literals;

bool is_expected(const Entry& entry, int status) {
  return std::any_of(entry.expect.begin(), entry.expect.end(), [status](const StatusRange& range) {
    return range.first <= status && status <= range.second;
  });
}

bool has_header(const HttpHeaders& headers, std::string_view lower_name) {
  return std::any_of(headers.begin(), headers.end(), [lower_name](const auto& header) {
    return std::equal(header.first.begin(), header.first.end(), lower_name.begin(),
                      lower_name.end(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; });
  });
}

}  // namespace

Outcome judge(const Entry& entry, const HttpResponse& response,
              std::chrono::system_clock::time_point now) {
  const int status = response.status;
  if (is_expected(entry, status)) return Completed(fmt::format(R"({{"status":{}}})", status));
  const std::string text = fmt::format("entry {}: answered {}", entry.name, status);
  const std::string status_class = fmt::format("http_{}xx", status / 100);
  if (status == 408 || status == 425 || status == 429) {
    return Retry(fmt::format("http_{}", status), text, retry_after(response.headers, now));
  }
  if (status >= 500) return Retry(status_class, text, retry_after(response.headers, now));
  return Failed(status_class, text);
}

HttpHandler::HttpHandler(const Deps& deps)
    : http_(deps.http), clock_(deps.clock), allow_(read_allow_list(deps.kinds.section("http"))) {}

boost::asio::awaitable<Outcome> HttpHandler::run(JobContext& context) {
  Call call = parse_call(context.payload(), context.job().payload, allow_);
  const Entry& entry = *call.entry;
  HttpRequest request(entry.method, std::move(call.url));
  request.headers = entry.headers;
  request.headers.emplace_back("Idempotency-Key", context.idempotency_key());
  if (entry.json_body && !has_header(entry.headers, "content-type")) {
    request.headers.emplace_back("Content-Type", "application/json");
  }
  request.body = std::move(call.body);
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(context.deadline() - clock_.mono());
  request.timeout = std::clamp(left, 1ms, entry.timeout);
  HttpResponse response;
  try {
    response = co_await http_.send(std::move(request));
  } catch (const Error& error) {
    throw Error(error.error_class(), error.code(), fmt::format("entry {}: {}", entry.name, error.what()));
  }
  co_return judge(entry, response, clock_.wall());
}

}  // namespace rowcrew::http

namespace rowcrew {

void register_http(Registry& registry, Deps& deps) {
  registry.add("http", std::make_unique<http::HttpHandler>(deps));
}

}  // namespace rowcrew
