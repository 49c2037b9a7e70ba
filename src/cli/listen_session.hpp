// One run of `rowcrew listen`: an HTTP server that checks webhooks and prints what came.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

#include "base/service.hpp"
#include "base/system_clock.hpp"
#include "cli/listen_ledger.hpp"
#include "net/http_server.hpp"

namespace rowcrew::cli {

struct ListenOptions {
  ListenOptions() = default;
  ListenRules rules;
  std::string host = "127.0.0.1";
  std::int64_t port = 0;              ///< 0: any that is free
  std::optional<std::int64_t> count;  ///< ends after so many deliveries; unset: with a signal
};

class ListenSession {
 public:
  /// `out` gets "listening on http://HOST:PORT", a line per delivery and the summary; `err` what
  /// the server complains about. Throws ConfigError when the address cannot be listened on.
  ListenSession(ListenOptions options, std::ostream& out, std::ostream& err);

  /// Blocks until `count` is reached or SIGINT or SIGTERM arrives. Returns an ExitCode.
  int run();

 private:
  class Remarks final : public Log {
   public:
    explicit Remarks(std::ostream& err) : err_(err) {}
    bool enabled(LogLevel level) const override { return level >= LogLevel::warning; }
    void write(LogLevel, std::string_view, std::span<const LogField>,
               std::string_view message) override;

   private:
    std::ostream& err_;
  };

  boost::asio::awaitable<ServerResponse> answer(ServerRequest request);
  boost::asio::awaitable<void> live();
  bool full() const { return options_.count && ledger_.deliveries() >= *options_.count; }
  void print(const std::string& line);

  ListenOptions options_;
  std::ostream& out_;
  Remarks remarks_;
  ListenLedger ledger_;
  boost::asio::io_context io_{1};
  SystemClock clock_;
  SystemRandom random_;
  HttpServer server_;
  Supervisor supervisor_;
  boost::asio::signal_set signals_;
  int exit_code_;
};

}  // namespace rowcrew::cli
