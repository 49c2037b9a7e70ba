#!/usr/bin/python3
"""What one node does for all is done by another as soon as it stops."""
import contextlib
import pathlib
import signal
import sys
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import URL, FleetTest, wait_for, with_user  # noqa: E402

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
        self.led_by("second")
        self.assertIsNone(first.process.poll(), first.tail())
        first.signal(signal.SIGTERM)
        self.assertEqual(first.exited(10), 0, first.tail())

    def test_new_jobs_start_at_once_while_the_leader_drains(self):
        first, second = self.draining()
        self.led_by("second")
        for n in range(1, 6):
            self.enqueue("noop")
            wait_for(f"job {n}", lambda: self.db.counts().get("completed") == n, 3)  # a heartbeat comes every ten

    def test_a_node_that_dies_beside_a_draining_leader_is_rescued(self):
        first, second = self.draining()
        third = self.node("third", node={"lease": "2s"}, queues={"other": 1}).ready()
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, queue, payload) VALUES ('sleep', 'other', '{\"ms\": 600000}')")
        third.wait_event("job.started")
        third.kill()
        wait_for("its job to be rescued", lambda: self.db.value("SELECT crashes FROM rowcrew.job_queue WHERE queue = 'other'") == 1, 30)


class Stranger(FleetTest):
    """Any session of the database may take the lock by which a leader is known."""

    def test_a_stranger_that_holds_the_leaders_lock_is_named_and_costs_no_job(self):
        role = f"stranger_{self.db.name}"
        self.db.execute(f'CREATE ROLE "{role}" LOGIN')
        self.addCleanup(self.drop_role, role)
        stranger = psycopg2.connect(with_user(self.db.url, role))
        stranger.cursor().execute("SELECT pg_advisory_lock_shared(7126300140)")
        node = self.node("node").ready()
        self.enqueue("noop", n=3)
        self.wait_finished(20)
        line = node.wait_event("work.failing", what="leading")
        self.assertIn(f"pid {stranger.get_backend_pid()} of role {role} holds the advisory lock", line["msg"])
        stranger.close()
        node.wait_event("work.resumed", what="leading")
        wait_for("the node to lead", lambda: self.db.value("SELECT count(*) FROM rowcrew.gate") == 1)

    def drop_role(self, role):
        with contextlib.closing(psycopg2.connect(URL)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'DROP ROLE "{role}"')


class OtherTables(FleetTest):
    """The leader serves one job table, the node beside it another."""

    def setUp(self):
        super().setUp()
        self.leader = self.node("leader", node={"tables": ["job_queue"], "lease": "6s"}).ready()
        wait_for("it to lead", lambda: self.db.value("SELECT count(*) FROM rowcrew.gate") == 1, 10)
        self.other = self.beside("other")

    def beside(self, name, **node):
        """A node that knows that there is a leader, and the leader knows of it."""
        beats = self.db.value("SELECT max(beat) FROM rowcrew.node")
        node = self.node(name, node={"tables": ["processing_jobs"], "lease": "6s", **node}).ready()
        wait_for("heartbeats of all", lambda: self.db.value(
            "SELECT min(beat) >= 3 AND max(beat) > %s + 1 FROM rowcrew.node", [beats]), 10)
        return node

    def job(self, values):
        self.db.execute("INSERT INTO rowcrew.processing_jobs (type, max_attempts, scheduled_at, inputs, crashes) VALUES " + values)

    def test_scheduled_jobs_and_retries_of_a_table_that_the_leader_does_not_serve_run(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, backoff_base_ms, backoff_cap_ms) VALUES ('throw', 300, 300)")
        self.job("('noop', 5, clock_timestamp() + interval '300 ms', '{}', 0), ('throw', 2, now(), '{}', 0)")
        wait_for("both to end", lambda: self.db.unfinished("processing_jobs") == 0, 8)
        self.assertEqual(self.db.counts("processing_jobs"), {"completed": 1, "failed": 1})

    def test_jobs_of_a_table_that_the_leader_does_not_serve_start_at_once_while_the_fleet_sleeps(self):
        wait_for("the fleet to sleep", lambda: self.db.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = (7126300141 & 4294967295)::oid AND mode = 'ExclusiveLock'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"), 10)
        for n in range(1, 4):
            self.job("('noop', 5, now(), '{}', 0)")
            wait_for(f"job {n}", lambda: self.db.counts("processing_jobs").get("completed") == n, 1)

    def test_claims_of_a_dead_node_on_a_table_that_the_leader_does_not_serve_are_rescued(self):
        self.job("('noop', 5, now() + interval '1 hour', '{}', 0)")
        self.db.execute("WITH q AS (UPDATE rowcrew.processing_jobs SET status = 'processing', claim_token = 1 RETURNING id)"
                        " INSERT INTO rowcrew.processing_jobs_claim (token, node_id, epoch, ids) SELECT 1, 1000, 1, array_agg(id) FROM q")
        wait_for("it to be rescued", lambda: self.db.value("SELECT crashes FROM rowcrew.processing_jobs") == 1, 8)
        wait_for("it to run again", lambda: self.db.counts("processing_jobs") == {"completed": 1}, 8)


if __name__ == "__main__":
    unittest.main(verbosity=2)
