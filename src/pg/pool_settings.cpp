#include "pg/pool_settings.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <rowcrew/error.hpp>

#include "base/read_file.hpp"
#include "base/secret_source.hpp"
#include "base/settings_tree.hpp"
#include "pg/connect_params.hpp"
#include "pg/interrupt.hpp"

namespace rowcrew {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using PasswordSource = decltype(PoolOptions::password);

constexpr std::size_t kMaxPasswordFile = std::size_t{64} << 10;
constexpr std::size_t kMaxTlsFile = std::size_t{4} << 20;
constexpr auto kCommandLimit = seconds{10};

/// Setting, the keyword of libpq that takes the file, and the credential of a service that has it.
struct TlsFile {
  const char *setting, *keyword, *credential;
};
constexpr TlsFile kTlsFiles[] = {{"ca_file", "sslrootcert", "database-ca"},
                                 {"certificate_file", "sslcert", "database-certificate"},
                                 {"key_file", "sslkey", "database-key"}};

/// A password that cannot be had is an outage like any other: retried, and said once a minute.
[[noreturn]] void throw_unreadable(const std::string& reason) {
  throw DbError(ErrorClass::transient, "08001", reason, true, false);
}

std::optional<std::string> reread_file(const std::string& key, const std::string& path) {
  ReadResult read = read_file(path, kMaxPasswordFile);
  if (!read.ok()) throw_unreadable(fmt::format("{}: {}", key, read.reason));
  return trim_line_ends(std::move(read.content));
}

std::optional<std::string> rerun_command(const std::string& key, const std::vector<std::string>& argv,
                                         const Interrupt* interrupt) {
  try {
    return trim_line_ends(run_secret_command(argv, kCommandLimit, key, interrupt ? interrupt->descriptor() : -1));
  } catch (const ConfigError& e) {
    throw_unreadable(e.what());
  }
}

std::string credential_path(const char* name) {
  const char* const directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr || *directory == '\0') return {};
  std::string path = fmt::format("{}/{}", directory, name);
  return read_file(path, kMaxTlsFile).missing ? std::string() : path;
}

/// The first read happens here, so that a source that never worked is a mistake of the
/// configuration.
PasswordSource read_password(const Settings& database) {
  // The one would be used now, the other at every connect.
  if (database.has("password_command") && !credential_path("database-password").empty()) {
    throw ConfigError(fmt::format("{}: found beside the credential database-password, expected one of them",
                                  database.full("password_command")));
  }
  const auto now = database.secret("password");
  if (!now) return nullptr;
  if (database.has("password_file")) {
    return [key = database.full("password_file"), path = database.text("password_file")](const Interrupt*) {
      return reread_file(key, path);
    };
  }
  if (database.has("password_command")) {
    const std::string key = database.full("password_command");
    auto argv = database.texts("password_command", {});
    // Arguments may be half a secret themselves: nothing of them is shown.
    Settings::Tree::of(database).known[key] = std::nullopt;
    return [key, argv = std::move(argv)](const Interrupt* interrupt) { return rerun_command(key, argv, interrupt); };
  }
  return [now](const Interrupt*) { return now; };
}

void read_tls_files(const Settings& database, PoolOptions& options) {
  for (const TlsFile& file : kTlsFiles) {
    std::string path = database.text(file.setting, credential_path(file.credential));
    if (path.empty()) continue;
    // Named and not there is a mistake; what is in it may be replaced at any time.
    const ReadResult read = read_file(path, kMaxTlsFile);
    if (!read.ok()) {
      throw ConfigError(fmt::format("{}: {}: {}, expected a readable PEM file",
                                    database.full(file.setting), path, read.reason));
    }
    options.tls_files.emplace(file.keyword, std::move(path));
  }
  const auto given = [&](const char* keyword) { return options.tls_files.contains(keyword); };
  if (given("sslcert") != given("sslkey")) {
    throw ConfigError(fmt::format("{}: found one without the other, expected both or neither of {} and {}",
                                  given("sslcert") ? database.full("certificate_file")
                                                   : database.full("key_file"),
                                  database.full("certificate_file"), database.full("key_file")));
  }
}

std::string read_direct_url(const Settings& database, bool pooled) {
  std::string url = database.secret("direct_url").value_or("");
  if (!url.empty() && !pooled) {
    throw ConfigError(fmt::format("{}: found without {}, expected it only behind a transaction pooler",
                                  database.full("direct_url"), database.full("pooled")));
  }
  return url;
}

std::string read_url(const Settings& database) {
  if (auto url = database.secret("url")) return std::move(*url);
  throw ConfigError(
      fmt::format("{}: missing, expected a libpq URI, from ROWCREW_DATABASE_URL, {} or a "
                  "credential database-url",
                  database.full("url"), database.full("url_file")));
}

}  // namespace

PoolOptions read_pool_options(const Settings& root, std::string_view application_name) {
  const Settings database = root.section("database");
  PoolOptions options;
  options.application_name = application_name;
  options.threads = static_cast<unsigned>(database.integer("threads", options.threads, 1, 64));
  options.queue = static_cast<std::size_t>(
      database.integer("queue", static_cast<std::int64_t>(options.queue), 1, 65536));
  options.pooled = database.flag("pooled", options.pooled);
  options.connect_timeout =
      database.duration("connect_timeout", options.connect_timeout, milliseconds{100}, seconds{60});
  options.statement_timeout = database.duration("statement_timeout", options.statement_timeout,
                                                milliseconds{100}, minutes{10});
  options.url = read_url(database);
  options.direct_url = read_direct_url(database, options.pooled);
  read_tls_files(database, options);
  connect_params(options);  // a malformed URL is found now, not at the first connect
  if (const auto direct = direct_options(options)) connect_params(*direct);
  options.password = read_password(database);
  return options;
}

}  // namespace rowcrew
