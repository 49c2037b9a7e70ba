#include "cli/listen_session.hpp"

#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <exception>
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/exit_code.hpp"

namespace rowcrew::cli {
namespace asio = boost::asio;

namespace {

using namespace std::chrono_literals;

constexpr auto kDrain = 3s;  ///< for the answer to the last delivery

std::string host_for_url(const std::string& host) {
  return host.find(':') == host.npos || host.starts_with('[') ? host : "[" + host + "]";
}

HttpServerOptions server_options(const ListenOptions& options) {
  HttpServerOptions made;
  made.listen = fmt::format("{}:{}", host_for_url(options.host), options.port);
  made.max_connections = 64;
  return made;
}

}  // namespace

void ListenSession::Remarks::write(LogLevel, std::string_view, std::span<const LogField>,
                                   std::string_view message) {
  err_ << "listen: " << message << std::endl;
}

ListenSession::ListenSession(ListenOptions options, std::ostream& out, std::ostream& err)
    : options_(std::move(options)),
      out_(out),
      remarks_(err),
      ledger_(options_.rules),
      server_(
          io_.get_executor(), server_options(options_),
          [this](ServerRequest request) { return answer(std::move(request)); }, remarks_),
      supervisor_(io_.get_executor(), clock_, random_, remarks_),
      signals_(io_, SIGINT, SIGTERM),
      exit_code_(kExitOk) {}

int ListenSession::run() {
  supervisor_.on_fatal([this](std::string_view) {
    exit_code_ = kExitFailure;
    signals_.cancel();
  });
  const std::exception_ptr error = run_until_ended(io_, live());
  if (error) std::rethrow_exception(error);
  return exit_code_;
}

asio::awaitable<void> ListenSession::live() {
  supervisor_.start(server_);
  const std::string url =
      fmt::format("http://{}:{}", host_for_url(options_.host), server_.port());
  print(options_.rules.json ? nlohmann::json({{"listening", url}}).dump() : "listening on " + url);
  // Cancelled when `count` is reached, or when the server has given up.
  co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
  co_await supervisor_.stop(server_, kDrain);
  print(ledger_.summary());
}

asio::awaitable<ServerResponse> ListenSession::answer(ServerRequest request) {
  if (full()) co_return ServerResponse(503, "application/json", "");
  const ListenLedger::Answer answer = ledger_.take(request, clock_.wall());
  if (!answer.line.empty()) print(answer.line);
  if (full()) signals_.cancel();
  co_return ServerResponse(answer.status, "application/json", "");
}

void ListenSession::print(const std::string& line) {
  out_ << line << std::endl;
}

}  // namespace rowcrew::cli
