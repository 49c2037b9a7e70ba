#include "support/db/temp_database.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "pg/connect_params.hpp"
#include "pg/migrator.hpp"
#include "pg/statement_template.hpp"
#include "schema/schema.hpp"
#include "support/log_capture.hpp"

namespace rowcrew::testing {
namespace {

const std::string& server_url() {
  static const std::string kUrl = [] {
    const char* found = std::getenv("ROWCREW_TEST_DATABASE_URL");
    if (found == nullptr || *found == '\0') {
      std::fputs(
          "ROWCREW_TEST_DATABASE_URL: not set, expected the URL of a PostgreSQL server on "
          "which databases may be created (scripts/private-pg.sh start test)\n",
          stderr);
      std::_Exit(1);
    }
    return std::string(found);
  }();
  return kUrl;
}

/// Empty when unset.
std::string variable(const char* name) {
  const char* found = std::getenv(name);
  return found == nullptr ? std::string() : std::string(found);
}

/// The keywords of `url`, and nothing that production adds to them.
ConnectParams keywords_of(const std::string& url) {
  PoolOptions options;
  options.url = url;
  options.pooled = true;
  return connect_params(options);
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  char piece[4];
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.') {
      out += c;
    } else {
      std::snprintf(piece, sizeof piece, "%%%02X", static_cast<unsigned char>(c));
      out += piece;
    }
  }
  return out;
}

PoolOptions options_of(std::string url) {
  PoolOptions options;
  options.url = std::move(url);
  options.application_name = "rowcrew-test";
  options.threads = 2;
  return options;
}

/// For statements about whole databases: a copy takes longer than any statement of production.
PoolOptions admin_options(const std::string& url) {
  PoolOptions options = options_of(url);
  options.statement_timeout = std::chrono::milliseconds(120'000);
  options.lock_timeout = std::chrono::milliseconds(0);
  return options;
}

void admin(const std::string& sql, const std::string& url = server_url()) {
  auto work = [&](Tx& tx) { exec_script(tx, sql); };
  run_once(admin_options(url), TxMode::autocommit, work);
}

/// Different for every text of the schema, so that an edited migration gets a new template.
std::string schema_hash() {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : migration_script(schema::migrations(), schema::roles(), {})) hash = (hash ^ c) * 0x100000001b3;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

bool exists(Tx& tx, const std::string& database) {
  static constexpr Statement kFind{"find_database", "SELECT 1 FROM pg_database WHERE datname = $1"};
  return !tx.exec(kFind, Params{}.add(database)).empty();
}

std::string owned() {
  return as_bare_owner() ? " OWNER " + quote_identifier(variable("ROWCREW_TEST_OWNER")) : "";
}

void make_template(const std::string& name) {
  const std::string unfinished = name + "_new";
  admin("DROP DATABASE IF EXISTS " + quote_identifier(unfinished) + " WITH (FORCE)");
  admin("CREATE DATABASE " + quote_identifier(unfinished) + owned() + " TEMPLATE template0");
  LogCapture log;
  migrate(admin_options(test_server_url(unfinished)), schema::migrations(), schema::roles(),
          {.with_roles = !as_bare_owner()}, log);
  admin("ALTER DATABASE " + quote_identifier(unfinished) + " RENAME TO " + quote_identifier(name));
}

/// Its name once it is there. Several test programs may ask at once: the first one makes it.
const std::string& template_database() {
  static const std::string kName = [] {
    std::string name = "rowcrew_tpl_" + schema_hash() + (as_bare_owner() ? "_bare_" : "_");
    auto work = [&](Tx& tx) {
      // A new installation has the partitions of this week and this month: so must a copy of it, on a
      // server that the tests of last week have used.
      static constexpr Statement kNow{"now", "SELECT to_char(now() AT TIME ZONE 'UTC', 'IYYY\"w\"IW\"m\"MM')"};
      name += tx.exec(kNow, Params{}).text(0, 0);
      static constexpr Statement kLock{
          "lock", "SELECT pg_advisory_xact_lock(hashtextextended('rowcrew.test_template', 0))"};
      tx.exec(kLock, Params{});
      if (!exists(tx, name)) make_template(name);
    };
    run_once(admin_options(server_url()), TxMode::transaction, work);
    return name;
  }();
  return kName;
}

std::string next_name() {
  static std::atomic<int> count{0};
  return "rowcrew_t_" + std::to_string(::getpid()) + "_" + std::to_string(++count);
}

}  // namespace

bool through_pooler() {
  return !variable("ROWCREW_TEST_POOLER_URL").empty();
}

bool as_bare_owner() {
  return !variable("ROWCREW_TEST_OWNER").empty();
}

PoolOptions options_for(const std::string& url) {
  PoolOptions options = options_of(url);
  if (!through_pooler()) return options;
  ConnectParams params = keywords_of(url);
  for (auto& [keyword, value] : keywords_of(variable("ROWCREW_TEST_POOLER_URL"))) {
    if (keyword == "host" || keyword == "port") params[keyword] = value;
  }
  options.url = test_url(std::move(params));
  options.pooled = true;
  options.direct_url = url;
  return options;
}

std::string test_url(ConnectParams params) {
  std::string url = "postgresql:///" + percent_encoded(params["dbname"]);
  params.erase("dbname");
  char mark = '?';
  for (const auto& [keyword, value] : params) {
    url += mark + keyword + "=" + percent_encoded(value);
    mark = '&';
  }
  return url;
}

std::string test_server_url(std::string_view database) {
  ConnectParams params = keywords_of(server_url());
  params["dbname"] = database;
  if (as_bare_owner()) params["user"] = variable("ROWCREW_TEST_OWNER");
  return test_url(std::move(params));
}

std::optional<std::string> superuser_url(const TempDatabase& db) {
  const char* found = std::getenv("ROWCREW_TEST_SUPERUSER_URL");
  if (found == nullptr || *found == '\0') return std::nullopt;
  ConnectParams params = keywords_of(found);
  params["dbname"] = db.name();
  return test_url(std::move(params));
}

TempDatabase::TempDatabase(Content content) : name_(next_name()), url_(test_server_url(name_)) {
  const bool migrated = content == Content::migrated;
  const std::string source = migrated ? quote_identifier(template_database()) : "template0";
  // A killed program may have left one of this name behind: process ids come around.
  admin("DROP DATABASE IF EXISTS " + quote_identifier(name_) + " WITH (FORCE)");
  admin("CREATE DATABASE " + quote_identifier(name_) + owned() + " TEMPLATE " + source);
  // A copy is somebody else's installation until it is declared one of its own.
  if (migrated) exec("SELECT rowcrew.takeover('test')");
}

TempDatabase::~TempDatabase() {
  try {
    admin("DROP DATABASE IF EXISTS " + quote_identifier(name_) + " WITH (FORCE)");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: not dropped: %s\n", name_.c_str(), error.what());
  }
}

PoolOptions TempDatabase::options() const {
  return options_for(url_);
}

void TempDatabase::exec(std::string_view sql) const {
  admin(std::string(sql), url_);
}

Rows TempDatabase::query(std::string_view sql, const Params& params) const {
  Rows rows;
  auto work = [&](Tx& tx) { rows = tx.exec(Statement{"test", sql}, params); };
  run_once(admin_options(url_), TxMode::autocommit, work);
  return rows;
}

std::string TempDatabase::value(std::string_view sql, const Params& params) const {
  return std::string(query(sql, params).text(0, 0));
}

}  // namespace rowcrew::testing
