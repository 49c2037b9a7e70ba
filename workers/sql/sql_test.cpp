#include <doctest/doctest.h>

#include <rowcrew/error.hpp>
#include <rowcrew/registry.hpp>

#include "sql_handler.hpp"
#include "support/fake_db.hpp"
#include "support/fake_job_transactions.hpp"
#include "support/kind_bench.hpp"

namespace rowcrew::sql_kind {
namespace {

using namespace std::chrono_literals;
using testing::FakeDb;
using testing::FakeJobTransactions;
using testing::KindBench;

constexpr const char* kConfig = R"(
kinds:
  sql:
    allow:
      charge: {function: shop.charge, timeout: 5s}
      count: {function: shop.count, batch: 3}
)";

std::string config_error(const std::string& lines) {
  const auto settings = testing::settings_from("sql:\n  allow:\n" + lines).section("sql");
  try {
    read_allow_list(settings);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

FoundFunction found(const std::string& arguments, const std::string& result) {
  FoundFunction f;
  f.schema = "shop";
  f.name = "charge";
  f.arguments = arguments;
  f.result = result;
  return f;
}

Entry charge() {
  Entry entry;
  entry.name = "charge";
  entry.setting = "kinds.sql.allow.charge";
  entry.function.schema = "shop";
  entry.function.name = "charge";
  return entry;
}

std::string choice(const std::vector<FoundFunction>& functions) {
  try {
    const SqlFunction chosen = choose(charge(), functions, "worker");
    return std::string(chosen.takes_id ? "id " : "") + (chosen.returns_result ? "result" : "void");
  } catch (const ConfigError& error) {
    return error.what();
  }
}

std::string verdict(ErrorClass error_class, const std::string& state) {
  const Outcome outcome = judge(charge(), DbError(error_class, state, "tx/end: it said so", state.empty(), false));
  if (const auto* retry = std::get_if<Retry>(&outcome)) {
    CHECK(retry->message == "entry charge: tx/end: it said so");
    return "retry " + retry->code;
  }
  return "failed " + std::get<Failed>(outcome).code;
}

}  // namespace

TEST_CASE("an entry names a function of a schema, and how many jobs share a transaction") {
  const auto settings = testing::settings_from(kConfig).section("kinds").section("sql");
  const AllowList allow = read_allow_list(settings);
  REQUIRE(allow.size() == 2);
  CHECK(allow.at("charge").function.schema == "shop");
  CHECK(allow.at("charge").function.name == "charge");
  CHECK(allow.at("charge").batch == 1);
  CHECK(allow.at("charge").timeout == 5s);
  CHECK(allow.at("count").batch == 3);
}

TEST_CASE("a wrong configuration names the key, what was found and what was expected") {
  CHECK(config_error("    x: {function: charge}\n") ==
        "sql.allow.x.function: \"charge\" found, expected schema.name in letters, digits and _, as the catalog has them");
  for (const char* bad : {"shop.charge()", "shop.a;b", "a.b.c", "shop.", ".charge", "shop.\\\"x\\\"", "1shop.charge"}) {
    CHECK(config_error("    x: {function: \"" + std::string(bad) + "\"}\n").starts_with("sql.allow.x.function: \""));
  }
  CHECK(config_error("    x: {batch: 2}\n").starts_with("sql.allow.x.function"));
  CHECK(config_error("    x: {function: a.b, batch: 65}\n").starts_with("sql.allow.x.batch: 65"));
  CHECK(config_error("    x: {function: a.b, batch: 0}\n").starts_with("sql.allow.x.batch: 0"));
  CHECK(config_error("    x: {function: a.b, timeout: 1h}\n").starts_with("sql.allow.x.timeout"));
  CHECK(config_error("    \"No Entry\": {function: a.b}\n").starts_with("sql.allow.No Entry: expected a name"));
}

TEST_CASE("of a function's signatures one is meant, or the entry, what was found and expected are named") {
  CHECK(choice({found("jsonb", "void")}) == "void");
  CHECK(choice({found("jsonb", "jsonb")}) == "result");
  CHECK(choice({found("uuid, jsonb", "void"), found("text", "void")}) == "id void");
  CHECK(choice({found("uuid, jsonb", "jsonb"), found("jsonb", "void")}) == "id result");
  CHECK(choice({}) ==
        "kinds.sql.allow.charge: function shop.charge: found none, expected (jsonb) or (uuid, jsonb), returning void or jsonb");
  CHECK(choice({found("text", "void"), found("jsonb", "integer")}) ==
        "kinds.sql.allow.charge: function shop.charge: found (text) returning void; (jsonb) returning integer, "
        "expected (jsonb) or (uuid, jsonb), returning void or jsonb");
  FoundFunction set = found("jsonb", "jsonb");
  set.plain = false;
  CHECK(choice({set}).find("found (jsonb) as a procedure, aggregate or set of jsonb, expected") != std::string::npos);
  FoundFunction forbidden = found("uuid, jsonb", "void");
  forbidden.allowed = false;
  CHECK(choice({forbidden}) ==
        "kinds.sql.allow.charge: function shop.charge: role worker may not call it, expected USAGE on schema shop and "
        "EXECUTE on function shop.charge(uuid, jsonb)");
}

TEST_CASE("what repeating may mend is retried, what the function or its data say is final") {
  CHECK(verdict(ErrorClass::transient, "40001") == "retry db_40001");
  CHECK(verdict(ErrorClass::transient, "55P03") == "retry db_55P03");
  CHECK(verdict(ErrorClass::transient, "") == "retry db_lost");
  CHECK(verdict(ErrorClass::transient, "57014") == "retry timeout");
  CHECK(verdict(ErrorClass::bug, "42883") == "retry db_42883");
  CHECK(verdict(ErrorClass::bug, "P0004") == "retry db_P0004");
  CHECK(verdict(ErrorClass::bug, "P0001") == "failed db_P0001");
  CHECK(verdict(ErrorClass::bug, "P0002") == "failed db_P0002");
  CHECK(verdict(ErrorClass::permanent, "22012") == "failed db_22012");
  CHECK(verdict(ErrorClass::permanent, "23505") == "failed db_23505");
}

namespace {

/// A handler that has found its functions, over transactions that the test drives.
struct SqlBench : KindBench {
  SqlBench() : KindBench(kConfig), transactions(clock), node_of{lease, transactions}, handler(deps_with()) {
    node = &node_of;
    database.answer = [](const FakeDb::Asked&) {
      Rows rows(7);
      for (const char* name : {"charge", "count"}) {
        for (const char* cell : {"shop", name, "uuid, jsonb", "void", "t", "t", "worker"}) rows.append(cell);
      }
      return rows;
    };
    testing::run(io, handler.prepare());
  }
  Deps deps_with() { return Deps{database, ports, http, mail, children, clock, random, log, kinds}; }

  std::string refusal(const std::string& payload) {
    try {
      run(handler, payload);
    } catch (const PermanentError& error) {
      return error.code() + ": " + error.what();
    }
    return "accepted";
  }

  FakeDb database;
  FakeJobTransactions transactions;
  testing::EndlessLease lease;
  JobContext::Node node_of;
  SqlHandler handler;
};

}  // namespace

TEST_CASE("the functions of all entries are looked up once, before the first job") {
  SqlBench b;
  REQUIRE(b.database.asked.size() == 1);
  CHECK(b.database.asked[0].name == "sql_functions");
  CHECK(b.database.asked[0].params[1] == R"({"charge","count"})");
  b.database.answer = [](const FakeDb::Asked&) { return Rows(7); };
  CHECK_THROWS_AS(testing::run(b.io, b.handler.prepare()), ConfigError);
}

TEST_CASE("a payload that does not fit is refused and nothing called") {
  SqlBench b;
  CHECK(b.refusal(R"({"args": {}})").starts_with("bad_payload: sql payload: expected \"entry\""));
  CHECK(b.refusal(R"({"entry": "drop"})") == "unknown_entry: sql payload: entry \"drop\" is not in kinds.sql.allow");
  CHECK(b.refusal(R"({"entry": "charge", "sql": "x"})") == "bad_payload: sql payload: unknown key \"sql\", expected entry and args");
  CHECK(b.refusal(R"({"entry": "charge", "args": [1]})") == "bad_payload: sql payload: args is of type array, expected an object");
  CHECK(b.refusal("[]").starts_with("bad_payload: "));
  CHECK(b.transactions.calls.empty());
}

TEST_CASE("an entry without a batch calls its function once, within the entry's time") {
  SqlBench b;
  const Outcome outcome = b.run(b.handler, R"({"entry": "charge", "args": {"amount": 3}})");
  REQUIRE(std::holds_alternative<Settled>(outcome));
  CHECK(std::get<Settled>(outcome).ours());
  REQUIRE(b.transactions.calls.size() == 1);
  CHECK(b.transactions.calls[0].function.name == "charge");
  CHECK(b.transactions.calls[0].function.takes_id);
  CHECK_FALSE(b.transactions.calls[0].function.returns_result);
  CHECK(b.transactions.calls[0].within == 5s);
  b.transactions.ours = false;
  CHECK_FALSE(std::get<Settled>(b.run(b.handler, R"({"entry": "charge"})")).ours());
}

TEST_CASE("what the database refuses becomes the outcome, what is no fault of the function goes on") {
  SqlBench b;
  b.transactions.refuse = [](const auto&) { throw DbError(ErrorClass::permanent, "23505", "taken", false, false); };
  CHECK(std::get<Failed>(b.run(b.handler, R"({"entry": "charge"})")).code == "db_23505");
  b.transactions.refuse = [](const auto&) { throw PermanentError("port_failed", "the port said no"); };
  CHECK(b.refusal(R"({"entry": "charge"})") == "port_failed: the port said no");
}

}  // namespace rowcrew::sql_kind
