#!/usr/bin/python3
"""The session that listens is ended (by whoever ends idle ones), and the server grants it no other."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402

LISTENS = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT 1%LISTEN%'"
WITHIN = 10  # seconds, of three retries


class ListenerAway(FleetTest):
    def test_a_listener_whose_connection_is_granted_no_more_gets_one_that_rests(self):
        node = self.node("node").ready()
        node.wait_event("listener.ready")
        self.enqueue("noop", 20)
        self.wait_finished()
        sessions = self.db.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                                 " AND backend_type = 'client backend'")
        self.db.execute(f'ALTER DATABASE "{self.db.name}" CONNECTION LIMIT {sessions}')  # all, with ours, less the one that listens
        self.db.execute(f"SELECT pg_terminate_backend(pid) {LISTENS}")
        node.wait_event("listener.lost")
        node.wait_lines("listener.ready", 2, WITHIN)
        wait_for("the listener", lambda: self.db.value(f"SELECT count(*) {LISTENS}") == 1, 5)
        self.enqueue("noop")
        wait_for("a job beside it", lambda: self.db.unfinished() == 0, 5)

    def test_a_node_that_cannot_listen_any_more_finds_jobs_within_poll_every(self):
        node = self.node("deaf").ready()  # poll_every 1 s, a beat every 5 to 10 s
        node.wait_event("listener.ready")
        self.enqueue("noop", 20)
        self.wait_finished()
        self.db.execute(f'ALTER DATABASE "{self.db.name}" CONNECTION LIMIT 0')  # those that stand stay
        self.db.execute(f"SELECT pg_terminate_backend(pid) {LISTENS}")
        node.wait_event("listener.lost")
        for n in range(1, 6):
            self.enqueue("noop")
            wait_for(f"job {n}", lambda: self.db.unfinished() == 0, 20)
        waits = [w for (w,) in self.db.execute("SELECT extract(epoch FROM started_at - created_at)::float FROM rowcrew.job_queue ORDER BY id DESC LIMIT 5")]
        self.assertLess(max(waits), 3, waits)  # half as much again as poll_every, and room for a busy machine
        self.db.execute(f'ALTER DATABASE "{self.db.name}" CONNECTION LIMIT -1')
        node.wait_lines("listener.ready", 2)
        wait_for("the node to lead again", lambda: self.db.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = (7126300140 & 4294967295)"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") > 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
