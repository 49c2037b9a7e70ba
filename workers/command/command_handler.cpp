#include "command_handler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include <rowcrew/deps.hpp>
#include <rowcrew/registry.hpp>

#include "command_args.hpp"

namespace rowcrew::command {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr int kTemporaryFailure = 75;  // EX_TEMPFAIL of sysexits.h
constexpr std::size_t kKeptOutput = std::size_t{4} << 10;
constexpr std::size_t kKeptErrorLine = 200;

// Cut before the bytes that belong to a character which does not fit.
std::string_view cut(std::string_view text, std::size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xC0) == 0x80) --max;
  return text.substr(0, max);
}

// The database stores neither invalid UTF-8 nor NUL, and would refuse the whole outcome for it.
bool is_storable(std::string_view text) {
  if (text.find('\0') != text.npos) return false;
  try {
    static_cast<void>(json(std::string(text)).dump());
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

std::string result_json(const ChildResult& result) {
  json kept = json::object();
  const std::string_view output = cut(result.output, kKeptOutput);
  if (is_storable(output)) {
    kept["output"] = output;
    if (output.size() < result.output.size()) kept["truncated"] = true;
  }
  return kept.dump();
}

// What a program said last is usually why it failed.
std::string last_error_line(std::string_view errors) {
  const auto last = errors.find_last_not_of(" \t\r\n");
  if (last == errors.npos) return {};
  errors = errors.substr(0, last + 1);
  const auto line = errors.rfind('\n');
  if (line != errors.npos) errors.remove_prefix(line + 1);
  std::string text(cut(errors, kKeptErrorLine));
  if (!is_storable(text)) return {};
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c >= 0 && c < ' '; }, ' ');
  return ": " + text;
}

double seconds(std::chrono::milliseconds span) { return std::chrono::duration<double>(span).count(); }

// Two places set limits, and whoever raised one wants to know that it was the other.
std::string what_was_over(const Entry& entry, std::chrono::milliseconds left) {
  if (left >= entry.timeout) return fmt::format("not done within its {} s", seconds(entry.timeout));
  return fmt::format("not done within {} s, all that timeout_ms or total_ms of its job type left of its {} s", seconds(left), seconds(entry.timeout));
}

}  // namespace

Outcome judge(const Entry& entry, const ChildResult& result, std::chrono::milliseconds left) {
  const std::string said = last_error_line(result.errors);
  if (result.timed_out) {
    return Retry("command_timeout", fmt::format("entry {}: {}{}", entry.name, what_was_over(entry, left), said));
  }
  if (result.signal != 0) {
    return Retry("command_signal",
                 fmt::format("entry {}: ended by signal {}{}", entry.name, result.signal, said));
  }
  if (result.exit_code == 0) return Completed(result_json(result));
  const std::string text =
      fmt::format("entry {}: exit status {}{}", entry.name, result.exit_code, said);
  if (entry.permanent_exits.contains(result.exit_code)) return Failed("command_exit", text);
  return Retry(result.exit_code == kTemporaryFailure ? "command_tempfail" : "command_exit", text);
}

CommandHandler::CommandHandler(const Deps& deps)
    : children_(deps.children),
      clock_(deps.clock),
      allow_(read_allow_list(deps.kinds.section("command"))) {}

boost::asio::awaitable<Outcome> CommandHandler::run(JobContext& context) {
  Call call = parse_call(context.payload(), context.job().payload, allow_);
  const Entry& entry = *call.entry;
  ChildRequest request(std::move(call.argv));
  request.env = entry.env;
  request.env.emplace_back("ROWCREW_IDEMPOTENCY_KEY", context.idempotency_key());
  request.directory = entry.directory;
  request.input = std::move(call.input);
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(context.deadline() - clock_.mono());
  request.timeout = std::clamp(left, 1ms, entry.timeout);
  request.max_memory_bytes = entry.max_memory;
  const ChildResult result = co_await children_.run(std::move(request));
  co_return judge(entry, result, left);
}

}  // namespace rowcrew::command

namespace rowcrew {

void register_command(Registry& registry, Deps& deps) {
  registry.add("command", std::make_unique<command::CommandHandler>(deps));
}

}  // namespace rowcrew
