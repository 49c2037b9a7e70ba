#!/usr/bin/python3
"""Jobs that came past the triggers (a restore, replication) are found when a node starts, not hours later."""
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, Node, run, wait_for  # noqa: E402
from support.servers import PROGRAMS, Folder, Server  # noqa: E402

JOBS = 30_000


class Audit(unittest.TestCase):
    """As a bare owner on a server of its own: to write past triggers takes a superuser."""

    def setUp(self):
        self.folder = Folder()
        self.addCleanup(self.folder.close)
        self.server = Server(self.folder, "server")
        self.addCleanup(self.server.close)
        self.server.create()
        run([BIN / "rowcrew", "--database", self.server.socket_url, "migrate", "--roles=none"])
        self.ask("UPDATE rowcrew.schedule SET enabled = false")

    def ask(self, sql, args=None):
        return self.server.ask(sql, args, database="app")

    def node(self, **settings):
        node = Node(None, "auditor", url=self.server.socket_url, **settings)
        self.addCleanup(node.close)
        return node.ready()

    def left(self):
        return self.ask("SELECT count(*) FROM rowcrew.job_queue WHERE status IN ('pending', 'processing', 'retrying')")[0][0]

    def check_healed_by_a_start(self):
        self.assertEqual(self.ask("SELECT count(*) FROM rowcrew.job_queue_ready")[0][0], 0)
        # The walk in pieces comes by once an hour: whatever is found is found by the start.
        node = self.node(node={"audit_every": "1h"}, queues={"default": 500})
        wait_for(f"all jobs to end, {self.left()} left", lambda: self.left() == 0, 60, every=0.2)
        healed = lambda: sum(int(line.get("jobs", 1)) for line in node.lines("hint.healed"))  # noqa: E731
        wait_for("each to be told of", lambda: healed() >= JOBS)
        lines = node.lines("hint.healed")
        self.assertEqual(sum(int(line.get("jobs", 1)) for line in lines), JOBS)
        self.assertLess(len(lines), 100)
        self.assertIn("past the triggers", lines[0]["msg"])

    def test_rows_of_a_replica_session_are_found_at_the_start(self):
        self.ask("SET session_replication_role = replica; INSERT INTO rowcrew.job_queue (job_type) "
                 "SELECT 'noop' FROM generate_series(1, %s)", (JOBS,))
        self.check_healed_by_a_start()

    def test_a_restore_without_triggers_is_found_at_the_start(self):
        dump = self.folder.path / "dump"
        self.ask("INSERT INTO rowcrew.job_queue (job_type) SELECT 'noop' FROM generate_series(1, %s)", (JOBS,))
        where = f"host={self.server.folder} port={self.server.port} user=postgres dbname=app"
        self.program("pg_dump", "-Fc", "-a", "-t", "rowcrew.job_queue", "-f", dump, "-d", where)
        self.ask("TRUNCATE rowcrew.job_queue")
        self.program("pg_restore", "--disable-triggers", "-a", "-d", where, dump)
        self.check_healed_by_a_start()

    def test_logical_replication_is_found_at_the_start(self):
        source = Server(self.folder, "source", "wal_level = logical\n")
        self.addCleanup(source.close)
        source.create()
        run([BIN / "rowcrew", "--database", source.socket_url, "migrate", "--roles=none"])
        source.ask("CREATE PUBLICATION jobs FOR TABLE rowcrew.job_queue", database="app")
        self.ask(f"CREATE SUBSCRIPTION jobs CONNECTION 'host={source.folder} port={source.port} user=postgres dbname=app' "
                 "PUBLICATION jobs")
        wait_for("the subscription to stream", lambda: self.ask(
            "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r'")[0][0] == 1)
        source.ask("INSERT INTO rowcrew.job_queue (job_type) SELECT 'noop' FROM generate_series(1, %s)", (JOBS,),
                   database="app")
        wait_for("the rows to arrive", lambda: self.left() == JOBS)
        self.ask("DROP SUBSCRIPTION jobs")
        self.check_healed_by_a_start()

    def test_a_node_that_has_just_started_has_its_first_seconds_for_its_jobs(self):
        self.node()
        wait_for("the walk over all tables", lambda: self.ask("SELECT count(*) FROM rowcrew.audit_pass")[0][0] > 0, 20)
        self.assertGreater(self.ask("SELECT extract(epoch FROM min(p.begun_at) - min(n.started_at)) FROM rowcrew.audit_pass p, rowcrew.node n")[0][0], 1.9)

    def program(self, name, *arguments):
        subprocess.run([PROGRAMS / name, *map(str, arguments)], check=True, capture_output=True, timeout=60,
                       env={**os.environ, "PGOPTIONS": ""})


if __name__ == "__main__":
    unittest.main(verbosity=2)
