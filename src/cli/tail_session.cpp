#include "cli/tail_session.hpp"

#include <fmt/format.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <exception>
#include <nlohmann/json.hpp>
#include <ostream>

#include <rowcrew/db_error.hpp>

#include "base/exit_code.hpp"
#include "base/log_format.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli {
namespace asio = boost::asio;

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kLifetime = 30s;
constexpr auto kAskEvery = kLifetime / 2;
constexpr auto kSilence = 5s;  ///< after so long without an answer a person wants to know
constexpr auto kLook = 200ms;
constexpr auto kStop = 500ms;

PoolOptions one_connection(PoolOptions options) {
  options.threads = 1;
  return options;
}

ListenerOptions on_tail_channel(const PoolOptions& connection) {
  auto direct = direct_options(connection);
  if (!direct) {
    throw ConfigError(
        "database.direct_url: missing, expected the URL past the pooler: lines come by "
        "notification, and a transaction pooler passes none on");
  }
  ListenerOptions options;
  options.connection = std::move(*direct);
  options.channels = {"rowcrew_tail"};
  return options;
}

}  // namespace

void TailSession::Remarks::say(std::string_view text) {
  const std::lock_guard lock(mutex_);
  err_ << "tail: " << text << std::endl;
}

TailSession::TailSession(TailOptions options, std::ostream& out, std::ostream& err)
    : options_(std::move(options)),
      out_(out),
      remarks_(err),
      pool_(one_connection(options_.connection), remarks_),
      listener_(
          on_tail_channel(options_.connection),
          [this](std::string_view, std::string_view chunk) { print(chunk); },
          [this] { listening_ = true; }, remarks_, clock_, random_) {}

int TailSession::run() {
  asio::signal_set signals(io_, SIGINT, SIGTERM);
  signals.async_wait([this](boost::system::error_code ec, int) {
    if (!ec) io_.stop();
  });
  const std::exception_ptr error = run_until_ended(io_, live());
  pool_.stop(kStop);
  if (error) std::rethrow_exception(error);
  return kExitOk;
}

asio::awaitable<void> TailSession::live() {
  using namespace asio::experimental::awaitable_operators;
  auto heard = listener_.run();
  auto asked = ask_until_refused();
  if (options_.span) {
    auto over = clock_.sleep_until(clock_.mono() + *options_.span);
    co_await (std::move(heard) || std::move(asked) || std::move(over));
  } else {
    co_await (std::move(heard) || std::move(asked));
  }
  if (refused_) std::rethrow_exception(refused_);
}

asio::awaitable<void> TailSession::ask_until_refused() {
  // "||" waits for the first that succeeds: an exception here would leave the listener waiting for ever.
  try {
    co_await keep_asking();
  } catch (const Error&) {
    refused_ = std::current_exception();
  }
}

asio::awaitable<void> TailSession::keep_asking() {
  // Nothing that a node sends at once must be missed.
  while (!listening_) co_await clock_.sleep_until(clock_.mono() + kLook);
  const Mono start = clock_.mono();
  Mono ask_at = start;
  bool complained = false;
  for (;;) {
    const Mono now = clock_.mono();
    try {
      if (now >= ask_at) {
        ask_at = now + kAskEvery;
        co_await ask_nodes();
      }
      co_await read_answers();
    } catch (const Error& e) {
      if (e.error_class() != ErrorClass::transient) throw;
    }
    if (!complained && answered_.empty() && clock_.mono() - start >= kSilence) {
      complained = true;
      remarks_.say("no node has answered within 5s: is any running? (rowcrew status)");
    }
    co_await clock_.sleep_until(clock_.mono() + kLook);
  }
}

asio::awaitable<void> TailSession::ask_nodes() {
  const nlohmann::json argument = {{"level", level_name(options_.filter.level)},
                                   {"id", options_.id}};
  const std::string text = argument.dump();
  std::vector<std::optional<std::string>> targets;
  for (const std::int64_t node : options_.nodes) targets.emplace_back(std::to_string(node));
  if (targets.empty()) targets.emplace_back(std::nullopt);
  std::vector<std::int64_t> issued;
  for (const auto& target : targets) {
    Params params;
    params.add("tail").add(text).add(target).add(kLifetime);
    const Rows rows = co_await pool_.query(sql::control_issue, std::move(params));
    issued.push_back(rows.integer(0, 0));
  }
  commands_ = std::move(issued);
}

asio::awaitable<void> TailSession::read_answers() {
  for (const std::int64_t command : commands_) {
    Params params;
    params.add(command);
    const Rows rows = co_await pool_.query(sql::control_acks, std::move(params));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const std::string name(rows.text(row, 0));
      if (!answered_.insert(name).second) continue;
      const std::string_view answer = rows.text(row, 1);
      remarks_.say(answer == "ok" ? "following " + name : fmt::format("{}: {}", name, answer));
    }
  }
}

void TailSession::print(std::string_view chunk) {
  out_ << format_tail(chunk, options_.filter);
  out_.flush();
}

}  // namespace rowcrew::cli
