#!/usr/bin/python3
"""A node dies with a thousand running jobs: all are rescued in time, whatever else is stuck."""
import pathlib
import sys
import time
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from cluster import size  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402
from tries import Tries  # noqa: E402

LEASE_S = 5
RUNNING = 1_000
IN_FRONT = size(2_000, 20_000)
QUIET = {"format": "json", "level": "warning"}


class Rescue(FleetTest):
    def setUp(self):
        super().setUp()
        self.tries = Tries()

    def tearDown(self):
        super().tearDown()
        self.tries.close()

    def quiet_node(self, name, queues):
        return self.node(name, queues=queues, log=QUIET, node={"lease": f"{LEASE_S}s"}, env=self.tries.env())

    def run_on(self, name, queue, count, queues=None):
        """A node on which `count` jobs of `queue` run and do not end by themselves."""
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, queue, payload) "
                        "SELECT 'tried', %s, '{\"ms\": 3600000}' FROM generate_series(1, %s)", (queue, count))
        node = self.quiet_node(name, queues or {queue: count})
        wait_for(f"{count} jobs to run on {name}", lambda: self.processing(queue) == count, 90, every=0.1)
        return node

    def processing(self, queue):
        return self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE queue = %s AND status = 'processing'", (queue,))

    def test_all_run_elsewhere_within_the_lease_and_five_seconds(self):
        victim = self.run_on("victim", "default", RUNNING)
        self.quiet_node("heir", {"default": RUNNING})
        wait_for("the heir", lambda: self.db.value("SELECT count(*) FROM rowcrew.node") == 2)
        self.db.execute("UPDATE rowcrew.job_queue SET payload = '{\"ms\": 2000}'")
        began = time.monotonic()
        victim.kill()
        wait_for("every job to run again", lambda: sum(self.tries.starts().values()) >= 2 * RUNNING, 120)
        took = time.monotonic() - began
        self.wait_finished(60)
        print(f"{RUNNING} jobs of a killed node ran elsewhere within {took:.1f} s (lease {LEASE_S} s)")
        self.assertEqual(self.db.execute("SELECT status, attempts, crashes, count(*) FROM rowcrew.job_queue GROUP BY 1, 2, 3"),
                         [("completed", 1, 1, RUNNING)])
        self.assertLess(took, LEASE_S + 5)

    def test_rescue_gets_past_what_cannot_be_rescued_and_needs_no_slot(self):
        half = IN_FRONT // 2
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, queue, payload) SELECT 'tried', q, '{\"ms\": 3600000}' "
                        "FROM unnest(ARRAY['front_a', 'front_b']) q, generate_series(1, %s)", (half,))
        front = self.quiet_node("front", {"front_a": half, "front_b": half})
        wait_for("the rows in front", lambda: self.processing("front_a") + self.processing("front_b") == IN_FRONT, 120, every=0.2)
        victim = self.run_on("victim", "default", RUNNING)
        # The rescuer: every slot hangs.
        rescuer = self.run_on("rescuer", "hung", 8)
        with psycopg2.connect(self.db.url) as holder:
            holder.cursor().execute("SELECT count(*) FROM (SELECT FROM rowcrew.job_queue "
                                    "WHERE queue LIKE 'front_%%' FOR UPDATE) held")
            front.kill()
            began = time.monotonic()
            victim.kill()
            wait_for("the victim's jobs to be rescued", lambda: self.processing("default") == 0, 120, every=0.1)
            took = time.monotonic() - began
            print(f"{RUNNING} jobs rescued within {took:.1f} s (lease {LEASE_S} s) past {IN_FRONT} that somebody holds")
            self.assertEqual(self.processing("front_a") + self.processing("front_b"), IN_FRONT)
            self.assertLess(took, LEASE_S + 5)
        holder.close()
        wait_for("the others, let go", lambda: self.processing("front_a") + self.processing("front_b") == 0, 120, every=0.1)
        self.assertIsNone(rescuer.process.poll())


if __name__ == "__main__":
    unittest.main(verbosity=2)
