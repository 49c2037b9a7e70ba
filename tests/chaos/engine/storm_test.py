#!/usr/bin/python3
"""Nodes are killed, frozen and restarted, their database sessions are ended: every effect happens once."""
import pathlib
import random
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from cluster import size  # noqa: E402
from support.fleet import FleetTest, Node, wait_for  # noqa: E402
from tries import Tries  # noqa: E402

NODES = 8
LEASE_S = 5
JOBS = size(30_000, 1_000_000)  # or more: a fast machine is through with them before a late write was refused
BACKLOG = size(6_000, 100_000)  # unfinished jobs at a time, about
FEED = size(1_000, 20_000)      # jobs per insert, of which one in 100 is stubborn: it may end under a lost claim
LOOK_S = size(0.25, 3)          # counting a million rows takes a while
PATIENCE_S = size(240, 5_400)

APP = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.effect (job uuid NOT NULL, status text NOT NULL);
INSERT INTO rowcrew.app (name, schema_name) VALUES ('chaos', 'chaos');
CREATE FUNCTION chaos.tried_ended(job_id uuid, ended jsonb) RETURNS void LANGUAGE sql AS $$
  INSERT INTO chaos.effect VALUES (job_id, ended ->> 'status') $$;
"""
INSERT = """
INSERT INTO rowcrew.job_queue (job_type, payload)
SELECT 'tried', CASE WHEN n %% 100 = 0 THEN '{"ms": 400, "stubborn": true}'::jsonb
                     ELSE jsonb_build_object('ms', n %% 20) END
  FROM generate_series(1, %s) n
"""
END_SESSIONS = """
SELECT count(pg_terminate_backend(pid))
  FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'rowcrewd/%'
         ORDER BY random() LIMIT 3) victims
"""


class Every:
    """Says when it is time again."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.next = time.monotonic() + seconds

    def due(self):
        if time.monotonic() < self.next:
            return False
        self.next = time.monotonic() + self.seconds
        return True


class Storm(FleetTest):
    def setUp(self):
        super().setUp()
        self.db.execute(APP)
        self.tries = Tries()
        self.done = {"killed": 0, "frozen": 0, "sessions ended": 0}

    def tearDown(self):
        super().tearDown()
        self.tries.close()

    def storm_node(self, n):
        return Node(self.db, f"n{n}", queues={"default": 16}, log={"format": "json", "level": "warning"},
                    node={"lease": f"{LEASE_S}s"}, env=self.tries.env())

    def kill(self):
        n = random.choice([n for n in range(NODES) if n != self.frozen])
        self.nodes[n].kill()
        self.nodes[n].close()
        self.nodes[n] = self.storm_node(n)
        self.done["killed"] += 1

    def freeze_or_thaw(self):
        if self.frozen is None:
            self.frozen = random.randrange(NODES)
            self.nodes[self.frozen].signal(signal.SIGSTOP)
            self.done["frozen"] += 1
            return
        self.nodes[self.frozen].signal(signal.SIGCONT)
        self.frozen = None

    def test_every_effect_happens_once_whatever_dies(self):
        self.nodes = [self.storm_node(n) for n in range(NODES)]
        self.frozen = None
        kill, sessions, freeze, look = Every(2), Every(1), Every(LEASE_S + 3), Every(LOOK_S)
        began, inserted = time.monotonic(), 0
        left, more, refused = 0, True, 0
        while more or left:
            self.assertLess(time.monotonic() - began, PATIENCE_S, f"{inserted} inserted, {self.db.counts()}")
            if kill.due():
                self.kill()
            if sessions.due():
                self.done["sessions ended"] += self.db.value(END_SESSIONS)
            if freeze.due():
                self.freeze_or_thaw()
            if look.due():
                left = self.db.unfinished()
                refused = self.refused()
            more = inserted < JOBS or refused == 0
            if more and left < BACKLOG:
                self.db.execute(INSERT, (FEED,))
                inserted, left = inserted + FEED, left + FEED
            else:
                time.sleep(0.05)
        took = time.monotonic() - began
        if self.frozen is not None:
            self.nodes[self.frozen].signal(signal.SIGCONT)
        # Frozen or cut off, they come back before they stop, so that all is written that will be.
        wait_for("every node to be registered", lambda: self.db.value(
            "SELECT count(*) FROM rowcrew.node WHERE pid = ANY(%s) AND NOT dead", ([n.pid for n in self.nodes],)) == NODES)
        for node in self.nodes:
            self.assertEqual(node.stop(30)[0], 0, node.tail())
        self.check(inserted, took)

    def refused(self):
        return self.db.value("SELECT coalesce(sum(claim_lost), 0) FROM rowcrew.node_stat")

    def check(self, jobs, took):
        starts = self.tries.starts()
        again = sum(starts.values()) - len(starts)
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        print(f"{jobs} jobs in {took:.0f} s, {self.done}, {again} run again, {self.refused()} late writes refused, "
              f"{self.db.value('SELECT max(crashes) FROM rowcrew.job_queue')} crashes of one job at most")
        self.assertEqual(self.db.counts(), {"completed": jobs}, self.db.execute(
            "SELECT error_code, left(error_message, 60), crashes, lonely_crashes, attempts, count(*) FROM rowcrew.job_queue "
            "WHERE status <> 'completed' GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC LIMIT 20"))
        self.assertEqual(self.db.execute("SELECT status, count(*), count(DISTINCT job) FROM chaos.effect GROUP BY 1"),
                         [("completed", jobs, jobs)])
        self.assertEqual(len(starts), jobs)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue_claim"), 0)
        self.assertEqual(self.db.value(deadlocks), 0)
        self.assertGreater(again, 0)
        self.assertGreater(self.refused(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
