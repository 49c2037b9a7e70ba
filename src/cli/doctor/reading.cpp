#include "cli/doctor/reading.hpp"

#include <array>
#include <chrono>
#include <utility>

#include <rowcrew/db_error.hpp>

#include "cli/failure.hpp"
#include "cli/schedule_list.hpp"
#include "pg/blocking_connection.hpp"
#include "pg/connect_params.hpp"
#include "schema/schema.hpp"
#include "sql_queries.hpp"

namespace rowcrew::cli::doctor {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kEach{5};

bool is_remote(std::string_view host) {
  return !host.empty() && host.front() != '/' && host.front() != '@' && host != "localhost" && host != "::1" && !host.starts_with("127.");
}

json connection_facts(const PoolOptions& options) {
  json remote = json::array();
  const ConnectParams params = connect_params(options);
  for (const char* keyword : {"host", "hostaddr"}) {
    for (const std::string& host : host_list(params, keyword)) {
      if (is_remote(host)) remote.push_back(host);
    }
  }
  return {{"pooled", options.pooled}, {"direct", !options.direct_url.empty()}, {"remote", remote}};
}

/// Without the statement's name and the place in its text, so that what several of them meet is one line.
std::string said(const DbError& error, const Statement& statement) {
  std::string text = error.what();
  const std::string head = std::string(statement.name) + ": ";
  if (text.starts_with(head)) text.erase(0, head.size());
  return text.substr(0, text.find(" at character "));
}

std::string reason_of(const DbError& error, const Statement& statement) {
  if (error.sqlstate() == "42501") return "needs the rights of rowcrew_viewer (" + said(error, statement) + ")";
  if (error.sqlstate() == "57014") return "took longer than five seconds";
  if (error.sqlstate() == "55P03") return "somebody holds a lock on it";
  if (is_unknown_name(error.sqlstate())) return "needs the schema of this program's version (" + said(error, statement) + ")";
  return said(error, statement);
}

class Reader {
 public:
  Reader(const PoolOptions& options, Facts& facts) : connection_(options), facts_(facts) {}

  /// `take`: rows -> the fact.
  template <class Take>
  void read(const char* name, const Statement& statement, Take take) {
    try {
      facts_.read[name] = take(connection_.exec(statement, Params{}));
    } catch (const DbError& error) {
      if (error.connection_lost()) throw;
      facts_.unread[name] = reason_of(error, statement);
    }
  }

  void read(const char* name, const Statement& statement) {
    read(name, statement, [](const Rows& rows) { return json::parse(rows.text(0, 0)); });
  }

 private:
  BlockingConnection connection_;
  Facts& facts_;
};

json late_schedules(const Rows& rows) {
  json late = json::array();
  for (const Schedule& schedule : read_schedules(rows)) {
    if (const auto by = overdue_by(schedule)) late.push_back({{"name", schedule.name}, {"late_ms", by->count()}});
  }
  return late;
}

}  // namespace

Facts read_facts(PoolOptions connection) {
  connection.statement_timeout = kEach;
  Facts facts;
  facts.read["program"] = {{"schema", schema::version()}};
  facts.read["connection"] = connection_facts(connection);
  Reader reader(connection, facts);
  reader.read("server", sql::doctor_server);
  reader.read("horizon", sql::doctor_horizon);
  const bool schema_there = !facts.read.contains("server") || facts.of("server").at("schema").get<bool>();
  const std::array<std::pair<const char*, const Statement*>, 6> ours = {{{"installation", &sql::doctor_installation},
                                                                         {"objects", &sql::doctor_objects},
                                                                         {"tables", &sql::doctor_tables},
                                                                         {"rights", &sql::doctor_rights},
                                                                         {"fleet", &sql::doctor_fleet},
                                                                         {"queues", &sql::doctor_queues}}};
  for (const auto& [name, statement] : ours) {
    if (schema_there) {
      reader.read(name, *statement);
    } else {
      facts.unread[name] = "needs the schema rowcrew";
    }
  }
  if (schema_there) {
    reader.read("schedules", sql::cli_schedules, late_schedules);
  } else {
    facts.unread["schedules"] = "needs the schema rowcrew";
  }
  return facts;
}

}  // namespace rowcrew::cli::doctor
