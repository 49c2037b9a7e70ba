// rowcrew listen: a receiver of webhooks for trying them out.
#include <fmt/format.h>

#include <cstdlib>
#include <optional>
#include <sstream>

#include <rowcrew/error.hpp>
#include <rowcrew/webhook_signature.hpp>

#include "base/exit_code.hpp"
#include "base/read_file.hpp"
#include "base/units.hpp"
#include "cli/arguments.hpp"
#include "cli/builtin.hpp"
#include "cli/listen_session.hpp"

namespace rowcrew::cli {
namespace {

constexpr std::string_view kText =
    "Receives webhooks, checks their signatures and prints one line for each, until interrupted.\n"
    "The secrets (whsec_…, several while they rotate) come from --secret-file or from the\n"
    "environment variable ROWCREW_LISTEN_SECRET. A node sends to loopback only if egress.allow of\n"
    "its configuration lists it.";
constexpr const char* kVariable = "ROWCREW_LISTEN_SECRET";
constexpr std::size_t kMaxFileBytes = std::size_t{64} << 10;
constexpr std::int64_t kMany = 1'000'000'000;

/// `source` names where `text` comes from; what is in it is never told.
std::vector<std::string> parse_secrets(const std::string& text, const std::string& source) {
  std::istringstream words(text);
  std::vector<std::string> secrets;
  for (std::string word; words >> word;) {
    if (!webhook_key(word)) {
      throw UsageError(source + ": a word that is no secret, expected whsec_ and the base64 of 24 "
                                "to 64 bytes");
    }
    secrets.push_back(std::move(word));
  }
  if (secrets.empty()) throw UsageError(source + ": holds no secret, expected whsec_…");
  return secrets;
}

std::vector<std::string> read_secrets(const std::optional<std::string>& file) {
  if (file) {
    const ReadResult read = read_file(*file, kMaxFileBytes);
    if (!read.ok()) {
      throw UsageError(fmt::format("--secret-file: {}: {}", shown(*file), read.reason));
    }
    return parse_secrets(read.content, "--secret-file");
  }
  const char* text = std::getenv(kVariable);
  if (text == nullptr) {
    throw UsageError(fmt::format("listen: no secret, expected --secret-file or {}", kVariable));
  }
  return parse_secrets(text, kVariable);
}

int run_listen(Invocation& call) {
  Arguments args("listen [options]", kText);
  args.value("port", "N", "0 (default): any that is free")
      .value("host", "ADDRESS", "127.0.0.1 (default), or another address of this machine")
      .value("secret-file", "FILE", "a file with the secrets, separated by blanks or lines")
      .value("fail", "N", "answer 503 to the first N, to see retries")
      .value("count", "N", "end after N deliveries")
      .flag("json", "one JSON object per line");
  if (!args.parse(call.args, call.out)) return kExitOk;
  ListenOptions options;
  options.port = args.integer("port", 0, 65535).value_or(0);
  options.host = args.get("host", "127.0.0.1");
  options.count = args.integer("count", 1, kMany);
  options.rules.fail_first = args.integer("fail", 0, kMany).value_or(0);
  options.rules.json = args.has("json");
  options.rules.secrets = read_secrets(args.get("secret-file"));
  return ListenSession(std::move(options), call.out, call.err).run();
}

}  // namespace

Command listen_command() {
  return {"listen", "receive webhooks and check their signatures", run_listen};
}

}  // namespace rowcrew::cli
