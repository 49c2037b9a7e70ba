// The demo app: which files become photos, and what is told about them.
#include <doctest/doctest.h>

#include "demo_bench.hpp"
#include "schema/schema.hpp"

using namespace rowcrew;
using namespace rowcrew::testing;

TEST_CASE("demo: every file of it can be installed again over itself") {
  DemoBench b;
  CHECK(b.found_new(1) == 1);
  for (const std::string_view script : schema::app_scripts("demo")) b.db.exec(script);
  CHECK(b.number("SELECT count(*) FROM demo.photo") == 1);
}

TEST_CASE("demo: a file is taken once, however often it is reported") {
  DemoBench b;
  CHECK(b.found({b.file("a.jpg", 1, "aa"), b.file("b.jpg", 2, "bb")}) == 2);
  CHECK(b.found({b.file("a.jpg", 1, "aa"), b.file("b.jpg", 2, "bb")}) == 0);
  CHECK(b.claim().size() == 2);
}

TEST_CASE("demo: a renamed or touched file is the same photo, a copy and new content are others") {
  DemoBench b;
  b.found({b.file("a.jpg", 1, "aa")});
  CHECK(b.found({b.file("renamed.jpg", 1, "aa", 2)}) == 0);
  CHECK(b.value("SELECT name || mtime_ns FROM demo.photo") == "renamed.jpg2");
  CHECK(b.found({b.file("copy.jpg", 2, "aa")}) == 1);
  CHECK(b.found({b.file("a.jpg", 1, "new")}) == 1);
}

TEST_CASE("demo: its own outputs are never taken as inputs, by path nor by content") {
  DemoBench b;
  b.query("UPDATE demo.watched_folder SET output_path = path");
  b.found({b.file("a.jpg", 1, "abcdef12")});
  CHECK(b.value("SELECT output_path FROM demo.photo") == "/in/a-portrait_pro-abcdef.jpg");
  CHECK(b.found({b.file("a-portrait_pro-abcdef.jpg", 2, "beforeend")}) == 1);
  b.process(b.claim().at(0));
  CHECK(b.found({b.file("moved.jpg", 3, "out")}) == 1);
  CHECK(b.statuses() == "done ignored ignored");
  CHECK(b.claim().empty());
}

TEST_CASE("demo: a name may hold anything, its output keeps what fits a file name") {
  DemoBench b;
  const std::string name = std::string("a\n'\"\xF0\x9F\x98\x80") + std::string(300, 'x') + ".JPeG";
  b.found({b.file(name, 1, "abcdef12")});
  const std::string output = b.value("SELECT output_path FROM demo.photo");
  CHECK(output.starts_with("/out/a\n'\"\xF0\x9F\x98\x80xxx"));
  CHECK(output.ends_with("-portrait_pro-abcdef.jpeg"));
  CHECK(output.size() < 250);
}

TEST_CASE("demo: a file that cannot be taken is a photo that failed with its own code") {
  DemoBench b;
  b.found({R"({"name":"x.jpg","problem":"file_name","message":"the name is not text"})"});
  const auto jobs = b.claim();
  REQUIRE(jobs.size() == 1);
  CHECK(b.process(jobs[0]) == "file_name");
  CHECK(b.statuses() == "failed");
  CHECK(b.usage() == "0|1|0|0|0|0");
}

TEST_CASE("demo: a file that went before its turn and came back is processed after all") {
  DemoBench b;
  b.found({b.file("a.jpg", 1, "aa")});
  b.end(b.claim().at(0), Failed("file_missing", "gone"));
  CHECK(b.value("SELECT demo.drive_folder('f') ->> 'known'") == "[]");
  CHECK(b.found({b.file("b.jpg", 1, "aa")}) == 0);
  const auto again = b.claim();
  REQUIRE(again.size() == 1);
  CHECK(b.process(again[0]) == "go");
  CHECK(b.statuses() == "done");
}

TEST_CASE("demo: one mail and one event per result, in the transaction that ends the job") {
  DemoBench b;
  b.found_new(2);
  const auto jobs = b.claim();
  b.process(jobs[0]);
  b.end(jobs[1], Failed("image_truncated", "the file ends in the middle"));
  CHECK(b.value("SELECT string_agg(payload ->> 'template', ' ' ORDER BY id) FROM rowcrew.job_queue WHERE job_type = 'email'") ==
        "photo_ready photo_failed");
  CHECK(b.value("SELECT string_agg(event, ' ' ORDER BY event_id) FROM rowcrew.job_event") == "photo.ready photo.failed");
  CHECK(b.value("SELECT data ->> 'error' FROM rowcrew.job_event WHERE event = 'photo.failed'") == "the file ends in the middle");
  CHECK(b.number("SELECT count(*) FROM rowcrew.job_queue WHERE app = 'demo' AND payload ->> 'account' = '1'") == 2);
}

TEST_CASE("demo: a retry tells nobody and counts nothing") {
  DemoBench b;
  b.found_new(1);
  const auto jobs = b.claim();
  CHECK(b.input(jobs[0]) == "go");
  b.end(jobs[0], Retry("disk_full", "no room"));
  CHECK(b.number("SELECT count(*) FROM rowcrew.job_event") == 0);
  CHECK(b.statuses() == "queued");
}

TEST_CASE("demo: a done photo whose job is run again by hand counts and tells once") {
  DemoBench b;
  b.found_new(1);
  b.process(b.claim().at(0));
  b.query("UPDATE rowcrew.processing_jobs SET status = 'pending'");
  b.process(b.claim().at(0));
  CHECK(b.usage() == "1|0|0|0|0|1");
  CHECK(b.number("SELECT count(*) FROM rowcrew.job_event") == 1);
}

TEST_CASE("demo: presets that are unknown or switched off have codes of their own") {
  DemoBench b;
  b.query("UPDATE demo.watched_folder SET preset = 'nobody'");
  b.found_new(1);
  CHECK(b.input(b.claim().at(0)) == "preset_unknown");
  b.query("UPDATE demo.watched_folder SET preset = NULL");
  b.query("UPDATE rowcrew.preset SET is_active = false");
  b.found_new(1);
  CHECK(b.input(b.claim().at(0)) == "preset_inactive");
}

TEST_CASE("demo: an account that is closed is neither polled nor served") {
  DemoBench b;
  b.found_new(1);
  CHECK(b.value("SELECT enabled FROM rowcrew.schedule WHERE name = 'demo.folder.f'") == "t");
  b.query("UPDATE demo.account SET is_active = false");
  CHECK(b.value("SELECT enabled FROM rowcrew.schedule WHERE name = 'demo.folder.f'") == "f");
  CHECK(b.value("SELECT demo.drive_folder('f') IS NULL") == "t");
  CHECK(b.input(b.claim().at(0)) == "account_inactive");
  b.query("DELETE FROM demo.watched_folder");
  CHECK(b.number("SELECT count(*) FROM rowcrew.schedule WHERE name = 'demo.folder.f'") == 0);
}
