// Kind `command`: runs a program of the configured allow-list.
#pragma once

#include <chrono>

#include <rowcrew/child_runner.hpp>
#include <rowcrew/handler.hpp>

#include "command_entry.hpp"

namespace rowcrew {
class Registry;
struct Deps;
}  // namespace rowcrew

namespace rowcrew::command {

/// The verdict on a program that ran: pure. Codes: command_exit, command_tempfail, command_signal,
/// command_timeout. `left`: until the job's deadline, when the program began.
Outcome judge(const Entry& entry, const ChildResult& result, std::chrono::milliseconds left);

class CommandHandler final : public Handler {
 public:
  /// Reads kinds.command. Throws ConfigError.
  explicit CommandHandler(const Deps& deps);

  /// Throws PermanentError ("bad_payload", "unknown_entry") and what ChildRunner::run throws.
  boost::asio::awaitable<Outcome> run(JobContext& context) override;

 private:
  ChildRunner& children_;
  const Clock& clock_;
  AllowList allow_;
};

}  // namespace rowcrew::command

namespace rowcrew {

void register_command(Registry& registry, Deps& deps);

}  // namespace rowcrew
