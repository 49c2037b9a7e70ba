#!/usr/bin/python3
"""Rows of an adopted table that refuse what a node asks of them hold up none of their neighbours."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import TABLES, adopt, create_tables, map_text, words  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402

PAYLOAD = "payload: jsonb_build_object('file', drive_file_id, 'preset', preset_name)"
# What a migration of the application may bring: a rule that some rows do not meet.
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.drive_file_id = ANY (TG_ARGV[1]::text[]) AND NEW.status = ANY (TG_ARGV[0]::text[]) THEN
    RAISE EXCEPTION '% may not become %', NEW.drive_file_id, NEW.status;
  END IF;
  RETURN NEW;
END $$;
"""


class RefusedRows(FleetTest):
    def setUp(self):
        super().setUp()
        create_tables(self.db)

    def refuse(self, states, files):
        self.db.execute(REFUSE + f"CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION refuse('{{{states}}}', '{{{files}}}')")

    def insert(self, first, last):
        self.db.execute(TABLES["jobs"][5], (first, last))

    def left(self):
        return self.db.execute("SELECT drive_file_id, status FROM jobs WHERE status <> 'completed' ORDER BY id::text")

    def test_a_payload_that_cannot_be_read_keeps_no_other_job_waiting(self):
        adopt(self.db, "jobs", text=map_text("jobs").replace(PAYLOAD, "payload: jsonb_build_object('n', output_url::int)"))
        self.insert(1, 300)
        self.db.execute("UPDATE jobs SET output_url = CASE WHEN drive_file_id IN ('f7', 'f8', 'f250') THEN 'x' ELSE '1' END")
        node = self.node("node", queues={"default": 20}).ready()
        wait_for("the others to end", lambda: words(self.db, "jobs") == {"completed": 297, "queued": 3})
        wait_for("the three to be laid aside", lambda: self.db.value("SELECT count(*) FROM rowcrew.public_jobs_parked WHERE reason = 'unclaimable'") == 3)
        wait_for("the three to be told of", lambda: sum(line["jobs"] for line in node.lines("job.unclaimable")) >= 3)
        self.assertEqual(sum(line["jobs"] for line in node.lines("job.unclaimable")), 3, node.tail())
        self.assertIn("invalid input syntax for type integer", node.lines("job.unclaimable")[0]["msg"])
        # Those that come later are claimed as ever.
        self.insert(301, 310)
        wait_for("later ones to end", lambda: words(self.db, "jobs") == {"completed": 307, "queued": 3})
        self.assertEqual(self.db.value("SELECT min(key) FROM rowcrew.public_jobs_parked"), 'claim_unlocked:public_jobs@2: invalid input syntax for type integer: "x" (22P02)')
        self.db.execute("UPDATE jobs SET output_url = '1'")
        self.db.execute("UPDATE rowcrew.public_jobs_parked SET run_at = now()")
        wait_for("the mended ones to end", lambda: words(self.db, "jobs") == {"completed": 310}, 60)
        self.assertEqual(node.stop()[0], 0, node.tail())

    def ends_are_kept(self, mend):
        node = self.node("node", queues={"default": 20}).ready()
        self.insert(1, 100)
        wait_for("the others to end", lambda: words(self.db, "jobs") == {"completed": 98, "processing": 2})
        wait_for("both to be told", lambda: len({line["job"] for line in node.lines("job.unwritable")}) == 2)
        self.insert(101, 200)
        wait_for("later ones to end", lambda: words(self.db, "jobs") == {"completed": 198, "processing": 2})
        self.assertLess(len(node.lines("job.unwritable")), 12)  # 5 s apart, then more
        self.assertEqual(self.db.value("SELECT count(*) FROM jobs WHERE error_code IS NOT NULL"), 0)
        self.db.execute(mend)
        wait_for("them to end as they did", lambda: words(self.db, "jobs") == {"completed": 200}, 60)
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_an_end_that_a_trigger_refuses_is_kept_and_spoils_no_neighbours(self):
        adopt(self.db, "jobs")
        self.refuse("completed,failed", "f3,f40")
        self.ends_are_kept("DROP TRIGGER refuse ON jobs")

    def test_an_end_that_a_constraint_refuses_is_kept_and_spoils_no_neighbours(self):
        adopt(self.db, "jobs")
        self.db.execute("ALTER TABLE jobs ADD CONSTRAINT refuse CHECK (status NOT IN ('completed', 'failed') OR drive_file_id NOT IN ('f3', 'f40'))")
        self.ends_are_kept("ALTER TABLE jobs DROP CONSTRAINT refuse")

    def test_an_end_whose_message_cannot_be_stored_says_it_in_plain_letters(self):
        adopt(self.db, "jobs", text=map_text("jobs").replace("job_type: noop", "job_type: command").replace(
            PAYLOAD, "payload: jsonb_build_object('entry', 'says')"))
        self.db.execute("ALTER TABLE jobs ADD CHECK (error_message !~ '[^ -~]')")  # as a database of another encoding would
        says = {"argv": ["/bin/sh", "-c", "echo f\u00fcr >&2; exit 3"], "permanent_exits": [3]}
        node = self.node("node", program="rowcrewd", kinds={"command": {"allow": {"says": says}}}).ready()
        self.insert(1, 1)
        wait_for("it to fail", lambda: words(self.db, "jobs") == {"failed": 1})
        code, message = self.db.execute("SELECT error_code, error_message FROM jobs")[0]
        self.assertIn("f??r", message)
        self.assertNotEqual(code, "unwritable_result")
        self.assertEqual(len(node.wait_lines("job.unwritable")), 1)
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_where_every_end_is_refused_no_more_jobs_run_than_a_few_hundred(self):
        adopt(self.db, "jobs")
        self.db.execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no ends today'; END $$;"
                        "CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH ROW WHEN (OLD.status = 'processing') EXECUTE FUNCTION refuse()")
        self.insert(1, 3000)
        node = self.node("node", queues={"default": 20}).ready()
        node.wait_event("work.failing", 60)
        running = words(self.db, "jobs")["processing"]
        self.assertGreaterEqual(running, 200)
        self.assertLess(running, 1000)
        self.db.execute("DROP TRIGGER refuse ON jobs")
        wait_for("all to end", lambda: words(self.db, "jobs") == {"completed": 3000}, 90)
        self.assertEqual(self.db.value("SELECT count(*) FROM jobs WHERE retry_count > 1"), 0)
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_a_node_stops_in_time_although_an_end_is_refused(self):
        adopt(self.db, "jobs")
        self.refuse("completed,failed,queued", "f3")
        node = self.node("node").ready()
        self.insert(1, 10)
        wait_for("the others to end", lambda: words(self.db, "jobs") == {"completed": 9, "processing": 1})
        node.wait_event("job.unwritable")
        code, took = node.stop()[:2]
        self.assertEqual(code, 0, node.tail())
        self.assertEqual(node.lines("node.stopped")[0]["unwritten"], 1)
        self.assertLess(took, 10)

    def test_a_row_that_cannot_be_rescued_keeps_no_other_from_being_rescued(self):
        adopt(self.db, "jobs", text=map_text("jobs").replace("job_type: noop", "job_type: sleep").replace(
            PAYLOAD, "payload: jsonb_build_object('ms', 600000)"))
        first = self.node("first", node={"lease": "2s"}, queues={"default": 20}).ready()
        self.insert(1, 20)
        wait_for("all to run", lambda: words(self.db, "jobs") == {"processing": 20})
        adopt(self.db, "jobs", "--repair")  # from now on they are no-ops
        first.kill()
        self.refuse("queued", "f13")
        second = self.node("second", node={"lease": "2s"}).ready()
        wait_for("the others to be rescued and completed", lambda: words(self.db, "jobs") == {"completed": 19, "processing": 1}, 60)
        self.assertEqual(self.left(), [("f13", "processing")])
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_attempt WHERE outcome = 'crashed'"), 19)
        told = second.wait_lines("job.unwritable")
        self.assertEqual(len(told), 1, told)
        self.assertEqual(second.stop()[0], 0, second.tail())
        self.db.execute("DROP TRIGGER refuse ON jobs")
        third = self.node("third", node={"lease": "2s"}).ready()
        wait_for("it to be rescued too", lambda: words(self.db, "jobs") == {"completed": 20}, 60)
        self.assertEqual(third.stop()[0], 0, third.tail())

    def test_a_rescued_job_that_cannot_be_claimed_keeps_no_other_waiting(self):
        adopt(self.db, "jobs", text=map_text("jobs").replace("job_type: noop", "job_type: sleep").replace(
            PAYLOAD, "payload: jsonb_build_object('ms', 600000)"))
        first = self.node("first", node={"lease": "2s"}, queues={"default": 10}).ready()
        self.insert(1, 10)
        wait_for("all to run", lambda: words(self.db, "jobs") == {"processing": 10})
        adopt(self.db, "jobs", "--repair")
        first.kill()
        self.refuse("processing", "f5")
        second = self.node("second", node={"lease": "2s"}, queues={"default": 10}).ready()
        wait_for("the others to be rescued and completed", lambda: words(self.db, "jobs") == {"completed": 9, "queued": 1}, 60)
        second.wait_event("job.unclaimable")
        self.assertEqual(self.db.value("SELECT reason FROM rowcrew.public_jobs_parked"), "unclaimable")
        self.db.execute("DROP TRIGGER refuse ON jobs")
        self.db.execute("UPDATE rowcrew.public_jobs_parked SET run_at = now()")
        wait_for("it to end", lambda: words(self.db, "jobs") == {"completed": 10}, 60)
        self.assertEqual(second.stop()[0], 0, second.tail())

    def test_a_row_that_silently_stays_as_it_was_is_not_claimed_again_and_again(self):
        adopt(self.db, "jobs")
        self.db.execute("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
                        "CREATE TRIGGER keep BEFORE UPDATE ON jobs FOR EACH ROW WHEN (OLD.drive_file_id = 'f3') EXECUTE FUNCTION keep()")
        node = self.node("node").ready()
        self.insert(1, 10)
        wait_for("the others to end", lambda: words(self.db, "jobs") == {"completed": 9, "queued": 1})
        wait_for("it to be filed for later", lambda: self.db.value(
            "SELECT count(*) FROM rowcrew.public_jobs_parked WHERE run_at > now() + interval '5 s'") == 1)
        self.db.execute("DROP TRIGGER keep ON jobs")
        wait_for("it to run", lambda: words(self.db, "jobs") == {"completed": 10})
        self.assertEqual(node.stop()[0], 0, node.tail())


if __name__ == "__main__":
    unittest.main(verbosity=2)
