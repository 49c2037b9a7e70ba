// why, pause, resume, cancel and redrive, called as main() calls them, by those who may.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "cli_bench.hpp"

namespace rowcrew::testing {
namespace {

using nlohmann::json;

std::string insert(const TempDatabase& db, const std::string& columns = "", const std::string& values = "") {
  return db.value("INSERT INTO rowcrew.job_queue (job_type" + (columns.empty() ? "" : ", " + columns) + ") VALUES ('mail'" +
                  (values.empty() ? "" : ", " + values) + ") RETURNING id");
}

}  // namespace

TEST_CASE("why answers a viewer in one line, or in one object" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  const std::string id = insert(db);
  CHECK(cli.run({"why", id}) == 0);
  CHECK(cli.out() == "no node is running\n");
  CHECK(cli.run({"why", id, "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("reason") == "no_node");
  CHECK(cli.run({"why", "12345"}) == 64);
  CHECK(cli.err().find("expected the id of a job") != std::string::npos);
  CHECK(cli.run({"why"}) == 64);
  CHECK(cli.run({"why", "--help"}) == 0);
}

TEST_CASE("pause, its list, and resume" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  CHECK(cli.run({"pause"}) == 0);
  CHECK(cli.out() == "nothing is paused\n");
  CHECK(cli.run({"pause", "type", "mail", "--for", "2h", "--reason", "the relay is down"}) == 0);
  CHECK(cli.out() == "paused type mail\n");
  CHECK(cli.run({"pause"}) == 0);
  CHECK(cli.out().find("type   mail") == cli.out().find('\n') + 1);
  CHECK(cli.out().find("the relay is down") != std::string::npos);
  CHECK(cli.run({"pause", "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("paused_by") == operators.name());
  CHECK(cli.run({"why", insert(db)}) == 0);
  CHECK(cli.out().find("type mail is paused by " + operators.name()) == 0);
  CHECK(cli.run({"resume", "type", "mail"}) == 0);
  CHECK(cli.out() == "resumed type mail\n");
  CHECK(cli.run({"resume", "type", "mail"}) == 1);
  CHECK(cli.run({"pause", "planet", "mail"}) == 64);
  CHECK(cli.run({"pause", "type"}) == 64);
  CHECK(cli.run({"pause", "type", "mail", "--for", "0s"}) == 64);
  CHECK(cli.err().find("for: ") != std::string::npos);
  CHECK(db.value("SELECT string_agg(action, ',' ORDER BY id) FROM rowcrew.audit_logs") == "pause,resume");
}

TEST_CASE("cancel: one job, or those that meet a condition; everything only by --all" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  const std::string id = insert(db);
  CHECK(cli.run({"cancel", id, "--reason", "typo"}) == 0);
  CHECK(cli.out() == "cancelled\n");
  CHECK(cli.run({"cancel", id, "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("answer") == "ended");
  CHECK(cli.run({"cancel", "00000000-0000-7000-8000-000000000001"}) == 1);
  for (int i = 0; i < 3; ++i) insert(db, "tenant", "'acme'");
  insert(db);
  CHECK(cli.run({"cancel", "--tenant", "acme", "--preview"}) == 0);
  CHECK(cli.out() == "would cancel 3\n");
  CHECK(cli.run({"cancel", "--tenant", "acme"}) == 0);
  CHECK(cli.out() == "cancelled 3\n");
  CHECK(cli.run({"cancel"}) == 64);
  CHECK(cli.err().find("--all") != std::string::npos);
  CHECK(cli.run({"cancel", id, "--type", "mail"}) == 64);
  CHECK(cli.run({"cancel", "--created-after", "soon"}) == 64);
  CHECK(cli.err().find("filter.created_after") != std::string::npos);
  CHECK(cli.run({"cancel", "--all", "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("changed") == 1);
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'cancelled'") == "5");
}

TEST_CASE("redrive: changes what the preview said, at the rate that was asked for" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  db.exec("INSERT INTO rowcrew.job_queue (job_type, status, error_code, completed_at) "
          "SELECT 'mail', 'failed', 'http_500', now() - interval '1 minute' FROM generate_series(1, 300)");
  CHECK(cli.run({"redrive", "--error-code", "http_500", "--preview", "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("would_change") == 300);
  const auto began = std::chrono::steady_clock::now();
  CHECK(cli.run({"redrive", "--error-code", "http_500", "--rate", "500"}) == 0);
  CHECK(cli.out() == "redriven 300\n");
  const auto took = std::chrono::steady_clock::now() - began;
  CHECK(took > std::chrono::milliseconds(450));
  CHECK(cli.run({"redrive", "--rate", "0", "--all"}) == 64);
  CHECK(cli.run({"redrive"}) == 64);
}

TEST_CASE("redrive: interrupted, it says how to go on, and goes on there" * with_roles()) {
  const TempDatabase db;
  const LoginRole operators(db, "rowcrew_operator");
  CliBench cli(operators.url());
  db.exec("INSERT INTO rowcrew.job_queue (job_type, status, completed_at) "
          "SELECT 'mail', 'failed', now() - interval '1 minute' FROM generate_series(1, 100)");
  std::thread interrupt([&] {
    for (int i = 0; i < 3'000; ++i) {
      if (db.value("SELECT count(*) > 0 FROM rowcrew.job_queue WHERE status = 'pending'") == "t") break;
    }
    ::kill(::getpid(), SIGTERM);
  });
  CHECK(cli.run({"redrive", "--all", "--rate", "10"}) == 1);
  interrupt.join();
  const std::string number = db.value("SELECT id FROM rowcrew.audit_logs");
  CHECK(cli.err() == "interrupted: go on with rowcrew redrive --continue " + number + "\n");
  const std::string changed = db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'pending'");
  CHECK(std::stoi(changed) < 100);
  CHECK(cli.run({"redrive", "--continue", number, "--json"}) == 0);
  CHECK(json::parse(cli.out()).at("changed") == 100 - std::stoi(changed));
  CHECK(db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'pending'") == "100");
  CHECK(db.value("SELECT count(*) FROM rowcrew.audit_logs") == "1");
}

TEST_CASE("viewers may ask why and see pauses, and change nothing" * with_roles()) {
  const TempDatabase db;
  const LoginRole viewer(db, "rowcrew_viewer");
  CliBench cli(viewer.url());
  const std::string id = insert(db);
  CHECK(cli.run({"pause"}) == 0);
  CHECK(cli.run({"pause", "queue", "default"}) == 1);
  CHECK(cli.run({"cancel", id}) == 1);
  CHECK(cli.run({"redrive", "--all"}) == 1);
  CHECK(cli.err().find("permission denied") != std::string::npos);
}

}  // namespace rowcrew::testing
