#include "web/web_command.hpp"

#include <fmt/format.h>

#include <csignal>

#include <rowcrew/error.hpp>

#include "base/read_file.hpp"
#include "base/secret_source.hpp"
#include "base/units.hpp"
#include "cli/api_key.hpp"
#include "cli/arguments.hpp"
#include "web/web_session.hpp"

namespace rowcrew::web {
namespace {

constexpr std::string_view kText =
    "Shows the fleet in a browser: nodes, queues and what waits there, jobs and why they stand as\n"
    "they do, limits, schedules, pauses, what people did. Reads what the commands read, with the\n"
    "rights of the role that it connects as: rowcrew_viewer will do. With --acts, and as a\n"
    "rowcrew_operator, the page also cancels, redrives, pauses and resumes; the audit log names the\n"
    "role. Who looks has to know a token: one is made, and printed in the address to open, unless\n"
    "--token-file has it. It is plain HTTP: beyond this machine put a proxy that speaks TLS before it.";
constexpr std::size_t kMostFile = 4096;
constexpr std::size_t kLeastToken = 16;

std::string read_token(const std::string& file) {
  const ReadResult read = read_file(file, kMostFile);
  if (!read.ok()) throw UsageError(fmt::format("--token-file: {}: {}", shown(file), read.reason));
  std::string token = trim_line_ends(read.content);
  const bool visible = std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (token.size() < kLeastToken || !visible) {
    throw UsageError(fmt::format("--token-file: {}: expected one word of at least {} characters", shown(file), kLeastToken));
  }
  return token;
}

int run_web(cli::Invocation& call) {
  cli::Arguments args("web [options]", kText);
  args.value("listen", "ADDRESS", "127.0.0.1:8088 (default), [::1]:8088, unix:/path; port 0: any that is free")
      .value("token-file", "FILE", "a file with the token, instead of a new one at each start")
      .flag("acts", "let the page change something, too")
      .value("log", "FORMAT", "auto, logfmt, json or journal");
  if (!args.parse(call.args, call.out)) return 0;
  WebOptions options;
  options.listen = args.get("listen", options.listen);
  options.acts = args.has("acts");
  options.log.format = parse_log_format(args.get("log", "auto"));
  options.connection = args.connection();
  options.connection.application_name = "rowcrew web";
  options.show_token = !args.has("token-file");
  if (options.show_token) {
    SystemRandom random;
    options.token = cli::make_api_key(random);
  } else {
    options.token = read_token(args.get("token-file", ""));
  }
  std::signal(SIGPIPE, SIG_IGN);  // a peer that hangs up is an error of one write, not of the process
  return WebSession(std::move(options), call.out).run();
}

}  // namespace

cli::Command web_command() { return {"web", "show the fleet in a browser; --acts to steer it there", run_web}; }

}  // namespace rowcrew::web
