#!/usr/bin/python3
"""An application's trigger that takes its time makes batches smaller, not endless."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import TABLES, adopt, create_tables, map_text, words  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402

# Two hundred of these take twice the statement_timeout below.
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE UPDATE ON jobs FOR EACH ROW WHEN (%s) EXECUTE FUNCTION slow();
"""
PAYLOAD = "payload: jsonb_build_object('file', drive_file_id, 'preset', preset_name)"
WITHIN = {"statement_timeout": "1s"}


class SlowRows(FleetTest):
    def setUp(self):
        super().setUp()
        create_tables(self.db)

    def insert(self, first, last):
        self.db.execute(TABLES["jobs"][5], (first, last))

    def run_all(self, when):
        adopt(self.db, "jobs")
        self.db.execute(SLOW % when)
        self.insert(1, 600)
        node = self.node("node", queues={"default": 200}, database=WITHIN).ready()
        wait_for("all to end", lambda: words(self.db, "jobs") == {"completed": 600}, 60)
        self.assertEqual(self.db.value("SELECT count(*) FROM jobs WHERE retry_count > 1"), 0)
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_claims_that_take_too_long_become_smaller_until_they_are_in_time(self):
        self.run_all("NEW.status = 'processing'")

    def test_ends_that_take_too_long_become_smaller_until_they_are_in_time(self):
        self.run_all("NEW.status = 'completed'")

    def test_where_ends_are_slow_no_more_jobs_run_than_a_few_hundred_ahead_of_them(self):
        adopt(self.db, "jobs")
        self.db.execute(SLOW % "NEW.status = 'completed'")
        self.insert(1, 5000)
        node = self.node("node", queues={"default": 200}, database=WITHIN).ready()
        wait_for("ends to be written in smaller batches", lambda: words(self.db, "jobs").get("completed", 0) >= 600, 60)
        self.assertLess(words(self.db, "jobs")["processing"], 1200)
        self.db.execute("DROP TRIGGER slow ON jobs")
        wait_for("all to end", lambda: words(self.db, "jobs") == {"completed": 5000}, 60)
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_a_dead_nodes_jobs_are_rescued_in_pieces_where_all_would_take_too_long(self):
        adopt(self.db, "jobs", text=map_text("jobs").replace("job_type: noop", "job_type: sleep").replace(
            PAYLOAD, "payload: jsonb_build_object('ms', drive_file_name::int)"))
        self.db.execute(TABLES["jobs"][5].replace("'n'", "'3600000'"), (1, 200))
        dead = self.node("dead", queues={"default": 200}, node={"lease": "5s"}).ready()
        wait_for("all to run there", lambda: words(self.db, "jobs") == {"processing": 200})
        dead.kill()
        self.db.execute("UPDATE jobs SET drive_file_name = '0'")
        self.db.execute(SLOW % "OLD.status = 'processing' AND NEW.status <> 'completed'")
        node = self.node("node", queues={"default": 200}, database=WITHIN, node={"lease": "5s"}).ready()
        wait_for("all to end", lambda: words(self.db, "jobs") == {"completed": 200}, 60)
        self.assertEqual(node.stop()[0], 0, node.tail())


if __name__ == "__main__":
    unittest.main()
