#!/usr/bin/python3
"""Jobs that one node cannot take are another's at once, whatever the leader knows of it and does meanwhile."""
import pathlib
import sys
import threading
import time
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402

LONG = '{"ms": 60000}'


class Spread(FleetTest):
    def running(self):
        return self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'processing'")

    def leader_knows(self, others):
        """Until the leader has seen so many others: each of its heartbeats tells it."""
        leader = "SELECT max(n.beat) FROM rowcrew.gate g JOIN rowcrew.node n ON n.node_id = g.leader"
        wait_for("a leader and the others", lambda: self.db.value(leader) and
                 self.db.value("SELECT count(*) FROM rowcrew.node") == others + 1)
        beats = self.db.value(leader)
        wait_for("a heartbeat of the leader", lambda: self.db.value(leader) > beats)

    def test_what_the_leader_has_no_slot_for_starts_elsewhere_at_once(self):
        for name in ("first", "second"):
            self.node(name, node={"lease": "6s"}).ready()
        self.leader_knows(1)
        for burst in range(4):
            self.enqueue("sleep", 14, payload='{"ms": 1500}')  # each has eight slots
            wait_for(f"both to run jobs of burst {burst}", lambda: self.db.value(
                "SELECT count(DISTINCT worker_id) FROM rowcrew.job_queue WHERE status = 'processing'") == 2, 1, every=0.005)
            self.wait_finished()

    def test_a_node_that_has_just_joined_gets_its_share(self):
        first = self.node("first", queues={"default": 2}).ready()
        first.wait_event("listener.ready")
        second = self.node("second", queues={"default": 3}).ready()
        second.wait_event("listener.ready")
        wait_for("its own look around to be over", lambda: self.db.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'") == 1)
        self.enqueue("sleep", 5, payload=LONG)
        wait_for("all of them to run", lambda: len(second.lines("job.started")) == 3, 2)

    def test_other_queues_are_served_while_the_leader_is_busy_with_its_own(self):
        first = self.node("first", queues={"default": 8}, node={"lease": "6s"}).ready()
        first.wait_event("listener.ready")
        wait_for("it to lead", lambda: self.db.value("SELECT count(*) FROM rowcrew.gate WHERE leader IS NOT NULL"))
        second = self.node("second", queues={"generation": 2}, node={"lease": "6s"}).ready()
        second.wait_event("listener.ready")
        self.leader_knows(1)
        stop = threading.Event()

        def feed():
            connection = psycopg2.connect(self.db.url)
            connection.autocommit = True
            while not stop.is_set():
                connection.cursor().execute("INSERT INTO rowcrew.job_queue (job_type) SELECT 'noop' FROM generate_series(1, 5)")
                time.sleep(0.002)
            connection.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            wait_for("the leader to be awake", lambda: len(first.lines("job.completed")) > 2000, 60)
            for n in range(1, 6):
                self.db.execute("INSERT INTO rowcrew.job_queue (job_type, queue) VALUES ('noop', 'generation')")
                wait_for(f"job {n} of the other queue", lambda: len(second.lines("job.completed")) == n, 1)
        finally:
            stop.set()
            feeder.join()

    def test_jobs_that_are_looked_at_for_pauses_count_for_their_slots(self):
        self.db.execute("SELECT rowcrew.pause('type', 'nobody', 'a test')")
        node = self.node("first", queues={"default": 8}).ready()
        node.wait_event("listener.ready")
        most = 0
        for _ in range(40):
            self.enqueue("sleep", payload=LONG)
            most = max(most, self.running())
        wait_for("every slot to be taken", lambda: len(node.lines("job.started")) == 8)
        self.assertEqual(max(most, self.running()), 8)

    def test_long_jobs_claimed_ahead_as_if_they_were_short_go_back_and_stay_away(self):
        node = self.node("first", queues={"default": 4}).ready()
        node.wait_event("listener.ready")
        self.enqueue("noop", 2000)
        self.wait_finished()
        self.enqueue("sleep", 40, payload=LONG)
        wait_for("every slot to be taken", lambda: len([e for e in node.lines("job.started") if e["job_type"] == "sleep"]) == 4)
        wait_for("the others to go back", lambda: self.running() == 4, 10)
        second = self.node("second", queues={"default": 40}).ready()
        joined = second.wait_event("node.ready")["ts"]
        wait_for("the other node to run them", lambda: len(second.lines("job.started")) == 36, 10)
        self.assertEqual([e for e in node.lines("job.released") if e["ts"] > joined], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
