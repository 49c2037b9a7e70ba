#!/usr/bin/python3
"""Stopping in order: jobs finished or handed back with their attempt, children gone, exit 0."""
import contextlib
import pathlib
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, free_of, processes, wait_for  # noqa: E402
from support.proxy import Proxy  # noqa: E402
from support.slow import claiming_slowly, slow_claims  # noqa: E402


class Stop(FleetTest):
    def kinds(self, marker):
        return {"command": {"allow": {
            "deaf": {"argv": ["/bin/sh", "-c", f"trap '' TERM; : {marker}; while :; do sleep 0.2; done"], "timeout": "10m"},
            "patient": {"argv": ["/bin/sh", "-c", f": {marker}; sleep 1"], "timeout": "1m"},
        }}}

    def test_a_stop_ends_jobs_and_children_within_its_time(self):
        marker = "marker" + self.db.name
        node = self.node("stopping", node={"stop_within": "8s"}, kinds=self.kinds(marker)).ready()
        self.enqueue("command", payload='{"entry": "deaf"}')
        self.enqueue("command", payload='{"entry": "patient"}')
        self.enqueue("sleep", payload='{"ms": 600000}')
        wait_for("all three to start", lambda: len(node.lines("job.started")) == 3)
        wait_for("the children", lambda: len(processes(marker)) >= 2)
        code, seconds = node.stop(20)
        print(f"stopped with exit {code} in {seconds:.1f} s of 8 s")
        self.assertEqual(code, 0, node.tail())
        self.assertLessEqual(seconds, 8.2)
        self.assertTrue(free_of(marker))
        rows = self.db.execute(
            "SELECT job_type, payload->>'entry', status, attempts FROM rowcrew.job_queue ORDER BY 1, 2")
        self.assertEqual(rows, [("command", "deaf", "pending", 0), ("command", "patient", "completed", 1),
                                ("sleep", None, "pending", 0)])
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue_claim"), 0)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.node"), 0)

    def test_a_claim_that_is_on_its_way_when_the_stop_comes_is_handed_back(self):
        slow_claims(self.db, "job_queue", "500 ms")
        node = self.node("claiming").ready()
        self.enqueue("noop")
        wait_for("the claim", lambda: claiming_slowly(self.db))
        self.assertEqual(node.stop()[0], 0, node.tail())
        wait_for("the server to be done with it", lambda: not claiming_slowly(self.db))
        self.assertEqual(self.db.execute("SELECT status, crashes, attempts FROM rowcrew.job_queue"), [("pending", 0, 0)])
        self.assertEqual(self.db.value("SELECT (SELECT count(*) FROM rowcrew.job_queue_claim) + (SELECT count(*) FROM rowcrew.node)"), 0)

    def test_a_terminal_that_is_closed_ends_a_node_in_order(self):
        node = self.node("hung_up").ready()
        self.enqueue("sleep", payload='{"ms": 600}')
        node.wait_event("job.started")
        node.signal(signal.SIGHUP)
        self.assertEqual(node.exited(10), 0, node.tail())
        self.assertEqual(self.db.execute("SELECT status, crashes FROM rowcrew.job_queue"), [("completed", 0)])

    def test_a_second_signal_skips_the_wait(self):
        node = self.node("hasty", node={"stop_within": "1m"}).ready()
        self.enqueue("sleep", payload='{"ms": 600000}')
        node.wait_event("job.started")
        node.signal(signal.SIGTERM)
        node.wait_event("node.stopping")
        node.signal(signal.SIGTERM)
        self.assertEqual(node.exited(10), 0, node.tail())
        self.assertEqual(self.db.counts(), {"pending": 1})

    def test_a_stop_without_the_database_keeps_its_time_and_loses_nothing(self):
        marker = "marker" + self.db.name
        with Proxy(self.db.url) as proxy:
            node = self.node("cut_off", url=proxy.url, node={"stop_within": "6s", "lease": "6s"}, kinds=self.kinds(marker)).ready()
            self.enqueue("command", payload='{"entry": "deaf"}')
            self.enqueue("sleep", payload='{"ms": 600000}')
            wait_for("both to start", lambda: len(node.lines("job.started")) == 2)
            wait_for("the child", lambda: processes(marker))
            proxy.black_hole()
            code, seconds = node.stop(20)
        print(f"database away: exit {code} in {seconds:.1f} s of 6 s")
        self.assertEqual(code, 0, node.tail())
        self.assertLessEqual(seconds, 6.5)
        self.assertTrue(free_of(marker))
        rescuer = self.node("rescuer", node={"lease": "2s"}, kinds=self.kinds(marker)).ready()
        wait_for("both to be rescued", lambda: len(rescuer.lines("job.rescued")) == 2, 30)
        rescuer.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
