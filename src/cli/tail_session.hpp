// One run of `rowcrew tail`: listens, asks the nodes to send, prints, keeps asking while it runs.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iosfwd>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/service.hpp"
#include "base/system_clock.hpp"
#include "cli/tail_lines.hpp"
#include "pg/listener.hpp"
#include "pg/pool.hpp"

namespace rowcrew::cli {

struct TailOptions {
  PoolOptions connection;
  TailFilter filter;
  std::vector<std::int64_t> nodes;                ///< empty: all
  std::optional<std::chrono::milliseconds> span;  ///< unset: until a signal
  std::string id;                                 ///< tells this tail from others
};

class TailSession {
 public:
  /// `out` gets log lines, `err` what there is to say about tailing itself.
  TailSession(TailOptions options, std::ostream& out, std::ostream& err);

  /// Blocks until the span is over or SIGINT or SIGTERM arrives. Returns an ExitCode.
  int run();

 private:
  /// What there is to say about tailing itself, and what listener and pool complain about.
  /// Thread-safe.
  class Remarks final : public Log {
   public:
    explicit Remarks(std::ostream& err) : err_(err) {}
    void say(std::string_view text);
    bool enabled(LogLevel level) const override { return level >= LogLevel::warning; }
    void write(LogLevel, std::string_view, std::span<const LogField>,
               std::string_view message) override {
      say(message);
    }

   private:
    std::mutex mutex_;
    std::ostream& err_;
  };

  boost::asio::awaitable<void> live();
  /// Ends when asking is refused for good; `refused_` has why.
  boost::asio::awaitable<void> ask_until_refused();
  boost::asio::awaitable<void> keep_asking();
  boost::asio::awaitable<void> ask_nodes();
  boost::asio::awaitable<void> read_answers();
  void print(std::string_view chunk);

  TailOptions options_;
  std::ostream& out_;
  Remarks remarks_;
  boost::asio::io_context io_{1};
  SystemClock clock_;
  SystemRandom random_;
  Pool pool_;
  bool listening_ = false;
  Listener listener_;
  std::vector<std::int64_t> commands_;  ///< of the last time that the nodes were asked
  std::set<std::string> answered_;
  std::exception_ptr refused_;
};

}  // namespace rowcrew::cli
