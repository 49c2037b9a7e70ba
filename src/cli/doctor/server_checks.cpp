// The server: whether it keeps what it is told, and what of it runs out.
#include <fmt/format.h>

#include <array>

#include "cli/doctor/check.hpp"
#include "cli/doctor/values.hpp"

namespace rowcrew::cli::doctor {
namespace {

constexpr std::int64_t kHour = 3600;
/// Age of transaction ids where vacuum is late, and where it gives up its manners (vacuum_failsafe_age).
constexpr std::int64_t kLateAge = 1'000'000'000;
constexpr std::int64_t kLastAge = 1'600'000'000;
constexpr std::int64_t kOldSnapshotAge = 10'000'000;
constexpr std::int64_t kMuchWal = std::int64_t{1} << 30;

void read_only(const Facts& facts, Chart& chart) {
  const json& server = facts.of("server");
  if (flag(server, "standby")) {
    chart.problem("this server is a standby: it takes no writes, so nothing can be enqueued or run here", "give the URL of the primary");
  } else if (flag(server, "read_only")) {
    chart.problem("default_transaction_read_only is on: nothing can be enqueued or run here", text(server, "writes_again"));
  }
}

void durability(const Facts& facts, Chart& chart) {
  const json& server = facts.of("server");
  for (const char* setting : {"fsync", "full_page_writes"}) {
    if (text(server, setting) != "off") continue;
    chart.problem(fmt::format("{} is off: a crash of the machine may destroy the database, jobs and all", setting),
                  fmt::format("ALTER SYSTEM SET {} = on, then reload the server", setting));
  }
  if (text(server, "synchronous_commit") == "off") {
    chart.warning("synchronous_commit is off: jobs whose commit was answered are gone after a crash of the server, and what had ended runs again",
                  "ALTER SYSTEM RESET synchronous_commit, then reload the server; or of the role or database that sets it");
  }
}

void role_settings(const Facts& facts, Chart& chart) {
  for (const json& one : facts.of("server").at("role_settings")) {
    const std::string setting = text(one, "setting");
    const char* cost = setting.starts_with("sync") ? "jobs whose commit it was told of are gone after a crash of the server"
                       : setting.starts_with("session") ? "triggers do not fire for it, so that jobs it inserts are found by the audit only, minutes or hours later"
                                                        : "jobs it inserts wake nobody, and are found within node.poll_every";
    chart.warning(fmt::format("logins of {} are given {}: {}", text(one, "role"), setting, cost), text(one, "mend"));
  }
}

void vacuum(const Facts& facts, Chart& chart) {
  for (const char* setting : {"autovacuum", "track_counts"}) {
    if (text(facts.of("server"), setting) != "off") continue;
    chart.problem(fmt::format("{} is off: dead rows of hints and claims are never removed, and every claim reads past more of them", setting),
                  fmt::format("ALTER SYSTEM SET {} = on, then reload the server", setting));
  }
}

void wraparound(const Facts& facts, Chart& chart) {
  const json& server = facts.of("server");
  for (const auto& [key, what] : {std::pair("xid_age", "transaction ids"), std::pair("multixact_age", "multixact ids")}) {
    const std::int64_t age = number(server, key);
    if (age < kLateAge) continue;
    std::string said = fmt::format("{} million {} of this database are not frozen: at about 2000 million the server takes no more writes", age / 1'000'000, what);
    const char* mend = "end what server.horizon names, then as the owner of the database: VACUUM";
    age < kLastAge ? chart.warning(std::move(said), mend) : chart.problem(std::move(said), mend);
  }
}

void connections(const Facts& facts, Chart& chart) {
  const json& server = facts.of("server");
  const std::int64_t most = number(server, "max_connections") - number(server, "reserved");
  const std::int64_t taken = number(server, "connections");
  if (taken * 10 >= most * 9) {
    chart.warning(fmt::format("{} of {} connections are taken: what comes next is refused, nodes work with fewer than they open (db.crowded) and applications with none", taken, most),
                  "raise max_connections, lower database.threads of the nodes, or put a pooler before the server");
  }
  const std::int64_t limit = number(server, "database_limit");
  const std::int64_t here = number(server, "database_connections");
  if (limit >= 0 && here * 10 >= limit * 9) {
    chart.warning(fmt::format("{} of the {} connections that database {} may have are taken: what comes next is refused", here, limit, text(server, "database")),
                  "ALTER DATABASE … CONNECTION LIMIT, or lower database.threads of the nodes");
  }
}

void notify_queue(const Facts& facts, Chart& chart) {
  const double used = facts.of("server").at("notify_queue").get<double>();
  if (used < 0.1) return;
  std::string said = fmt::format("the queue of notifications is {:.0f} % full, since some session listens within a transaction that stays open: "
                                 "when it is full, every commit that notifies fails, and with it enqueues", used * 100);
  const char* mend = "the server's log names the session: end it with pg_terminate_backend()";
  used < 0.5 ? chart.warning(std::move(said), mend) : chart.problem(std::move(said), mend);
}

void horizon(const Facts& facts, Chart& chart) {
  const json& found = facts.of("horizon");
  for (const json& one : found.at("prepared")) {
    if (number(one, "seconds") < kHour) continue;
    chart.problem(fmt::format("prepared transaction {} of {} is open for {}: no dead row is removed meanwhile, and its locks are held", text(one, "gid"), text(one, "role"), span(number(one, "seconds"))),
                  text(one, "mend"));
  }
  for (const json& one : found.at("sessions")) {
    if (number(one, "seconds") < kHour) continue;
    chart.warning(fmt::format("session {} ({}, \"{}\", {}) holds its snapshot for {}: no dead row that is newer is removed, so claims read past more and more of them",
                              number(one, "pid"), text(one, "role"), text(one, "program"), text(one, "state"), span(number(one, "seconds"))),
                  text(one, "mend"));
  }
  for (const json& slot : found.at("slots")) {
    const std::string name = text(slot, "name");
    if (number(slot, "xmin_age") > kOldSnapshotAge) {
      chart.warning(fmt::format("replication slot {} holds back {} million transactions: dead rows are not removed, so claims read past more and more of them",
                                name, number(slot, "xmin_age") / 1'000'000), "let its standby go on, or: " + text(slot, "mend"));
    } else if (!flag(slot, "active") && number(slot, "kept_bytes") > kMuchWal) {
      chart.warning(fmt::format("nobody reads replication slot {}, for which {} GB of WAL are kept: they grow until the disk is full", name, number(slot, "kept_bytes") / kMuchWal),
                    "let its reader go on, or: " + text(slot, "mend"));
    }
  }
  if (!flag(found, "sees_all")) chart.unchecked("snapshots of other roles' sessions: needs pg_read_all_stats");
}

}  // namespace

std::span<const Check> server_checks() {
  static const std::array<Check, 8> kChecks = {{
      {"server.writes", "a standby, or a database that is read-only", {"server"}, read_only},
      {"server.durability", "fsync, full_page_writes or synchronous_commit off", {"server"}, durability},
      {"server.role_settings", "roles that lose commits, pass triggers by or wake nobody, by what they are given at login", {"server"}, role_settings},
      {"server.vacuum", "autovacuum or track_counts off", {"server"}, vacuum},
      {"server.wraparound", "transaction ids that vacuum has not frozen for long", {"server"}, wraparound},
      {"server.notifications", "the queue of notifications fills up", {"server"}, notify_queue},
      {"server.connections", "nine of ten connections are taken", {"server"}, connections},
      {"server.horizon", "old snapshots, prepared transactions and replication slots that keep dead rows or WAL", {"horizon"}, horizon},
  }};
  return kChecks;
}

}  // namespace rowcrew::cli::doctor
