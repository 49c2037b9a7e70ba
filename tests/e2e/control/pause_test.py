#!/usr/bin/python3
"""Pausing and resuming under load, on real nodes."""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, FleetTest, run, wait_for  # noqa: E402


class Pause(FleetTest):
    def rowcrew(self, *args):
        return run([BIN / "rowcrew", "--database", self.db.url, *args]).stdout

    def completed(self, job_type=None):
        return self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'completed' AND (%s IS NULL OR job_type = %s)",
                             (job_type, job_type))

    def still(self, what, seconds=1.0):
        """The value of what() when it has not changed for so long; and how long it took to stand still."""
        began = time.monotonic()
        value, since = what(), time.monotonic()

        def stands():
            nonlocal value, since
            now = what()
            if now != value:
                value, since = now, time.monotonic()
            return time.monotonic() - since >= seconds

        wait_for("it to stand still", stands, 20, every=0.01)
        return value, since - began

    def test_a_queue_under_load_stands_still_within_a_second_and_goes_on_within_one(self):
        for i in range(2):
            self.node(f"n{i}", queues={"default": 4}, node={"lease": "30s"}).ready()
        self.enqueue("sleep", 20000, payload='{"ms": 5}')
        wait_for("load", lambda: self.completed() > 50)
        self.rowcrew("pause", "queue", "default", "--reason", "a test")
        before, took = self.still(self.completed)
        print(f"queue: stood still after {took * 1000:.0f} ms")
        self.assertLess(took, 1.0)
        # No hint was moved for it.
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue_parked"), 0)
        self.assertIn("queue default is paused", self.rowcrew("why", self.db.value(
            "SELECT id FROM rowcrew.job_queue WHERE status = 'pending' LIMIT 1")))
        self.rowcrew("resume", "queue", "default")
        began = time.monotonic()
        wait_for("it to go on", lambda: self.completed() > before, 10, every=0.01)
        print(f"queue: went on after {(time.monotonic() - began) * 1000:.0f} ms")
        self.assertLess(time.monotonic() - began, 1.0)

    def test_a_type_stands_still_while_others_of_its_queue_run_on(self):
        node = self.node(queues={"default": 8}).ready()
        self.rowcrew("pause", "type", "sleep")
        node.wait_event("pause.changed")
        self.enqueue("sleep", 3000, payload='{"ms": 1}')
        self.enqueue("noop", 100)
        wait_for("the others to be done", lambda: self.completed("noop") == 100, 30)
        self.assertEqual(self.completed("sleep"), 0)
        wait_for("all of it to be laid aside", lambda: self.db.value(
            "SELECT count(*) FROM rowcrew.job_queue_parked WHERE reason = 'paused'") == 3000, 30)
        # Once: nothing of it is touched again while the pause lasts.
        written, _ = self.still(lambda: self.db.value("SELECT sum(xmin::text::bigint) FROM rowcrew.job_queue"), 1.5)
        self.assertTrue(written)
        self.rowcrew("resume", "type", "sleep")
        began = time.monotonic()
        wait_for("it to go on", lambda: self.completed("sleep") > 0, 10, every=0.01)
        print(f"type: went on after {(time.monotonic() - began) * 1000:.0f} ms")
        self.assertLess(time.monotonic() - began, 1.0)
        self.wait_finished()
        self.assertEqual(self.db.counts(), {"completed": 3100})

    def test_a_tenant_stands_still_until_the_time_is_over_also_for_a_node_that_starts_later(self):
        self.rowcrew("pause", "tenant", "acme", "--for", "6s")
        self.node().ready()
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, tenant) SELECT 'noop', CASE WHEN i % 2 = 0 THEN 'acme' END "
                        "FROM generate_series(1, 20) i")
        over = self.db.value("SELECT until FROM rowcrew.pause")
        wait_for("the others to be done", lambda: self.completed() == 10)
        self.assertLess(self.db.value("SELECT clock_timestamp()"), over)
        self.wait_finished(20)
        self.assertGreaterEqual(self.db.value("SELECT min(completed_at) FROM rowcrew.job_queue WHERE tenant = 'acme'"), over)

    def test_without_listen_a_pause_is_found_by_polling(self):
        self.node(node={"listen": False}, queues={"default": 4}).ready()
        self.enqueue("sleep", 5000, payload='{"ms": 5}')
        wait_for("load", lambda: self.completed() > 20)
        self.rowcrew("pause", "queue", "default")
        _, took = self.still(self.completed)
        self.assertLess(took, 2.0)

    def test_pauses_survive_a_restart_of_the_fleet(self):
        self.rowcrew("pause", "queue", "default")
        self.node("first").ready().stop()
        second = self.node("second").ready()
        self.enqueue("noop")
        self.enqueue("noop", table="processing_jobs", column="type")
        self.wait_finished(table="processing_jobs")
        self.assertEqual(self.db.counts(), {"pending": 1})
        self.rowcrew("resume", "queue", "default")
        self.wait_finished()
        self.assertEqual(second.stop()[0], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
