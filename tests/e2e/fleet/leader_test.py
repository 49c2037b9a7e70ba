#!/usr/bin/python3
"""What one node does for all is done by another as soon as it stops."""
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402

LONG = {"lease": "30s", "stop_within": "1m"}


class Leader(FleetTest):
    def leader(self):
        return self.db.value("SELECT (SELECT n.name FROM rowcrew.gate g JOIN rowcrew.node n ON n.node_id = g.leader AND NOT n.dead)")

    def led_by(self, name):
        wait_for(f"{name} to lead", lambda: self.leader() == name, 10)

    def draining(self):
        """A leader that stops and has a job to wait for, and a node beside it."""
        first = self.node("first", node=LONG, queues={"default": 1}).ready()
        self.led_by("first")
        self.enqueue("sleep", payload='{"ms": 600000}')
        first.wait_event("job.started")
        second = self.node("second", node=LONG).ready()
        wait_for("both to be registered", lambda: self.db.value("SELECT count(*) FROM rowcrew.node") == 2)
        first.signal(signal.SIGTERM)
        first.wait_event("node.stopping")
        return first, second

    def test_scheduled_jobs_and_ticks_do_not_wait_for_a_leader_that_drains(self):
        first, second = self.draining()
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, scheduled_at) SELECT 'noop', clock_timestamp() + interval '300 ms' FROM generate_series(1, 3)")
        self.db.execute("INSERT INTO rowcrew.schedule (name, every_ms, job_type) VALUES ('often', 1000, 'noop')")
        wait_for("the scheduled ones and a tick", lambda: self.db.counts().get("completed", 0) >= 4, 8)
        self.assertEqual(self.leader(), "second")
        self.assertIsNone(first.process.poll(), first.tail())
        first.signal(signal.SIGTERM)
        self.assertEqual(first.exited(10), 0, first.tail())

    def test_new_jobs_start_at_once_while_the_leader_drains(self):
        first, second = self.draining()
        self.led_by("second")
        for n in range(1, 6):
            self.enqueue("noop")
            wait_for(f"job {n}", lambda: self.db.counts().get("completed") == n, 1)

    def test_a_node_that_dies_beside_a_draining_leader_is_rescued(self):
        first, second = self.draining()
        third = self.node("third", node={"lease": "2s"}, queues={"other": 1}).ready()
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, queue, payload) VALUES ('sleep', 'other', '{\"ms\": 600000}')")
        third.wait_event("job.started")
        third.kill()
        wait_for("its job to be rescued", lambda: self.db.value("SELECT crashes FROM rowcrew.job_queue WHERE queue = 'other'") == 1, 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
