// The ports of the kind on a database, with an app that keeps what it is told.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "pg/pool.hpp"
#include "queue/port_catalog.hpp"
#include "sql_queries.hpp"
#include "support/db/temp_database.hpp"
#include "support/kind_bench.hpp"
#include "workers/drive_poll/drive_poll_handler.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using nlohmann::json;

namespace {

constexpr const char* kApp = R"(
CREATE SCHEMA shop;
CREATE TABLE shop.folder (id text PRIMARY KEY, description jsonb);
CREATE TABLE shop.file (folder text, version jsonb, name text, sha256 text, problem text,
                        PRIMARY KEY (folder, version));
CREATE FUNCTION shop.drive_folder(text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT f.description || jsonb_build_object('known', (SELECT jsonb_agg(k.version) FROM shop.file k WHERE k.folder = f.id))
  FROM shop.folder f WHERE f.id = $1 $$;
CREATE FUNCTION shop.drive_files_found(text, jsonb) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE n integer;
BEGIN
  INSERT INTO shop.file
  SELECT $1, jsonb_build_object('device', f -> 'device', 'inode', f -> 'inode', 'size', f -> 'size', 'mtime_ns', f -> 'mtime_ns'),
         f ->> 'name', f ->> 'sha256', f ->> 'problem' FROM jsonb_array_elements($2) f
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$;
INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop');
INSERT INTO shop.folder VALUES ('f', '{"backend": "folder", "path": "/srv/in", "settle_ms": 250}');
)";

struct Bench : KindBench {
  Bench() : KindBench("kinds: {drive_poll: {program: /bin/true}}"), pool(db.options(), log) {}

  json poll(const std::string& folder = "f") {
    const auto faults = catalog.load(db.query(sql::node_ports.text));
    REQUIRE(faults.empty());
    drive_poll::DrivePollHandler handler(with);
    const Outcome outcome = run(handler, json{{"folder", folder}}.dump());
    return json::parse(std::get<Completed>(outcome).result);
  }
  void program_says(const json& files) {
    ChildResult result;
    result.output = json{{"files", files}, {"young", 1}, {"more", false}}.dump();
    children.end(std::move(result));
  }
  json known() const { return json::parse(children.requests.back().input).at("known"); }

  TempDatabase db;  ///< hides the base's, which refuses
  Pool pool;
  PortCatalog catalog;
  Deps with{pool, catalog, http, mail, children, clock, random, log, kinds};
};

json file(int inode, const std::string& name) {
  return {{"name", name},   {"path", "/srv/in/" + name}, {"device", 18446744073709551615ULL},
          {"inode", inode}, {"size", 1},                 {"mtime_ns", 1700000000000000001},
          {"sha256", "00"}};
}

}  // namespace

TEST_CASE("drive poll: without an app's ports no folder is watched") {
  Bench b;
  CHECK(b.poll().contains("skipped"));
  CHECK(b.children.requests.empty());
}

TEST_CASE("drive poll: files reach the app's tables once, and come back as known") {
  Bench b;
  b.db.exec(kApp);
  CHECK(b.poll("gone").contains("skipped"));
  json files = {file(1, "a.jpg"), file(2, "quo\"te\nline\x01 😀.jpg"),
                {{"name", "bad\xEF\xBF\xBD.jpg"}, {"problem", "file_name"}, {"message", "No."},
                 {"device", 1}, {"inode", 3}, {"size", 1}, {"mtime_ns", -5}}};
  b.program_says(files);
  CHECK(b.poll() == json::parse(R"({"found": 2, "new": 3, "young": 1, "problems": 1})"));
  CHECK(b.known() == json::array());
  CHECK(b.db.value("SELECT name FROM shop.file WHERE version ->> 'inode' = '2'") ==
        "quo\"te\nline\x01 😀.jpg");
  // The node died before it could write the outcome: everything once more.
  b.program_says(files);
  CHECK(b.poll() == json::parse(R"({"found": 2, "new": 0, "young": 1, "problems": 1})"));
  CHECK(b.known().size() == 3);
  CHECK(b.known().at(0).at("device") == 18446744073709551615ULL);
  CHECK(b.known().at(0).at("mtime_ns") == 1700000000000000001);
}

TEST_CASE("drive poll: a folder described by JSON null is skipped, without a settle time it has ours") {
  Bench b;
  b.db.exec(kApp);
  b.db.exec("UPDATE shop.folder SET description = '{\"backend\": \"folder\", \"path\": \"/srv/in\"}'");
  b.program_says(json::array());
  b.poll();
  CHECK(json::parse(b.children.requests.back().input).at("settle_ms") == 500);
  b.db.exec("CREATE OR REPLACE FUNCTION shop.drive_folder(text) RETURNS jsonb LANGUAGE sql AS "
            "'SELECT ''null''::jsonb'");
  CHECK(b.poll().contains("skipped"));
}
