// The default port generation_input and the presets, on a database.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>

#include <rowcrew/db_error.hpp>

#include "sql/generation.hpp"
#include "support/db/login_role.hpp"
#include "support/db/temp_database.hpp"
#include "support/fake_ports.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;
using nlohmann::json;

namespace {

class Scene {
 public:
  json input(const std::string& id, const std::string& table = "job_queue") {
    const Rows rows = db_.query(ports_.bind(generation::sql::input, "").text, Params().add(id).add(table));
    return rows.is_null(0, 0) ? json() : json::parse(rows.text(0, 0));
  }
  std::string generation(const std::string& inputs) {
    return db_.value(
        "INSERT INTO rowcrew.processing_jobs (type, provider, inputs) "
        "VALUES ('generation', 'presets', $1::jsonb) RETURNING id",
        Params().add(inputs));
  }
  json refused(const std::string& inputs) { return input(generation(inputs)).at("refuse"); }

  TempDatabase& db() { return db_; }

 private:
  TempDatabase db_;
  FakePorts ports_;
};

constexpr const char* kPortrait =
    R"({"source":"/in/a.jpg","target":"/out/a.jpg","preset":"portrait_pro"})";

}  // namespace

TEST_CASE("generation input: a job's paths and the preset's workflow") {
  Scene scene;
  const json input = scene.input(scene.generation(kPortrait));
  CHECK(input["source"] == "/in/a.jpg");
  CHECK(input["target"] == "/out/a.jpg");
  CHECK(input["preset"]["name"] == "portrait_pro");
  const json crop = input["preset"]["workflow"]["steps"][0];
  CHECK(crop["width"].get<int>() * 5 == crop["height"].get<int>() * 4);

  const std::string queued = scene.db().value(
      "INSERT INTO rowcrew.job_queue (job_type, payload) VALUES ('generation', $1::jsonb) "
      "RETURNING id",
      Params().add(std::string(R"({"provider":"presets","inputs":)") + kPortrait + "}"));
  CHECK(scene.input(queued) == input);
}

TEST_CASE("generation input: a job of an adopted table is asked for by the uuid that ports know") {
  Scene scene;
  scene.db().exec(
      "INSERT INTO rowcrew.adopted_table (name, rel, schema_name, table_name, map, columns, template, mode) "
      "VALUES ('shop_orders', 1, 'shop', 'orders', '{}', '{}', '{\"key_type\": \"bigint\"}', 'shadow'), "
      "('shop_photos', 2, 'shop', 'photos', '{}', '{}', '{\"key_type\": \"uuid\"}', 'shadow'); "
      "CREATE OR REPLACE FUNCTION rowcrew.generation_input(p_job_id uuid) RETURNS jsonb LANGUAGE sql AS "
      "'SELECT to_jsonb(p_job_id)'");
  CHECK(scene.input("42", "shop_orders") == scene.db().value("SELECT rowcrew.job_uuid('shop_orders', 42)"));
  const std::string own = "018f4e2a-0000-7000-8000-000000000001";
  for (const char* table : {"shop_photos", "job_queue", "processing_jobs"}) CHECK(scene.input(own, table) == own);
}

TEST_CASE("generation input: what cannot be done is refused with a word for each cause") {
  Scene scene;
  CHECK(scene.refused(R"({"source":"/a","preset":"portrait_pro"})")["code"] == "bad_payload");
  CHECK(scene.refused("[1]")["code"] == "bad_payload");
  CHECK(scene.refused(R"({"source":"/a","target":"/b"})")["code"] == "preset_unknown");
  const json unknown = scene.refused(R"({"source":"/a","target":"/b","preset":"it's"})");
  CHECK(unknown["code"] == "preset_unknown");
  CHECK(unknown["message"].get<std::string>().starts_with("preset 'it''s': not found"));
  scene.db().exec("UPDATE rowcrew.preset SET is_active = false WHERE name = 'portrait_pro'");
  CHECK(scene.refused(kPortrait)["code"] == "preset_inactive");
  CHECK(scene.input("00000000-0000-0000-0000-000000000000").is_null());
}

TEST_CASE("generation input: a picture of words alone has no source, and the job's words come along") {
  Scene scene;
  const std::string row = scene.db().value(
      "INSERT INTO rowcrew.processing_jobs (type, provider, prompt, inputs) VALUES ('generation', 'openai', 'a cat', "
      "'{\"target\":\"/b\",\"preset\":\"portrait_pro\"}') RETURNING id");
  const std::string queued = scene.db().value(
      "INSERT INTO rowcrew.job_queue (job_type, payload) VALUES ('generation', "
      "'{\"provider\":\"openai\",\"prompt\":\"a cat\",\"inputs\":{\"target\":\"/b\",\"preset\":\"portrait_pro\"}}') RETURNING id");
  const json input = scene.input(row, "processing_jobs");
  CHECK(input["source"].is_null());
  CHECK(input["target"] == "/b");
  CHECK(input["prompt"] == "a cat");
  CHECK(scene.input(queued) == input);
}

TEST_CASE("generation input: a node's role may ask, and reads no preset by itself" * with_roles()) {
  Scene scene;
  const std::string job = scene.generation(kPortrait);
  const LoginRole node(scene.db(), "rowcrew_worker");
  CHECK(node.failure("SELECT rowcrew.generation_input('" + job + "')") == "");
  CHECK(node.failure("SELECT 1 FROM rowcrew.preset") == "42501");
}

TEST_CASE("presets: three come with the schema, and nonsense is kept out") {
  Scene scene;
  CHECK(scene.db().value(
            "SELECT string_agg(name, ' ' ORDER BY name) FROM rowcrew.preset WHERE is_active") ==
        "landscape_vivid portrait_pro product_clean");
  const std::string insert = "INSERT INTO rowcrew.preset (name, workflow) VALUES ";
  for (const char* values : {"('Bad', '{\"steps\": []}')", "('good', '[]')", "('good', '1')", "('good', NULL)"}) {
    CAPTURE(values);
    CHECK_THROWS_AS(scene.db().exec(insert + values), DbError);
  }
}
