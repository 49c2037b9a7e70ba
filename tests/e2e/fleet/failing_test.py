#!/usr/bin/python3
"""What of a node's work does nothing but fail: its log says so once a minute, and whoever asks meanwhile is told as well."""
import contextlib
import json
import pathlib
import sys
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, FleetTest, run, wait_for  # noqa: E402


class Failing(FleetTest):
    def cli(self, *args):
        return run([BIN / "rowcrew", "--database", self.db.url, *args]).stdout

    def failing(self):
        nodes = json.loads(self.cli("status", "--json"))["nodes"]
        return [f for f in nodes[0]["failing"] if f["work"] == "claims of job_queue"]

    def test_claims_that_only_fail_are_told_by_status_and_why_until_they_work(self):
        job = self.db.value("INSERT INTO rowcrew.job_queue (job_type) VALUES ('noop') RETURNING id")
        with contextlib.closing(psycopg2.connect(self.db.url)) as migration:
            # As a migration of somebody's that takes its time: rows can be read, not changed.
            migration.cursor().execute("LOCK TABLE rowcrew.job_queue IN EXCLUSIVE MODE")
            self.node(node={"lease": "2s"}, database={"statement_timeout": "500ms"}).ready()
            self.assertEqual(self.failing(), [])
            told = wait_for("status to tell of it", self.failing, 30, every=0.2)[0]
            self.assertGreaterEqual(told["for_ms"], 5000)
            self.assertRegex(told["error"], r"timeout")
            self.assertRegex(self.cli("status"), r"node: claims of job_queue fail for [\d.]+s: .*timeout")
            why = json.loads(self.cli("why", job, "--json"))
            self.assertEqual(why["reason"], "failing")
            self.assertRegex(why["text"], r"^nothing of its table can be claimed, on node node for \d+ s: .*timeout")
            migration.rollback()
        self.wait_finished()
        wait_for("status to tell nothing any more", lambda: not self.failing(), 20, every=0.2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
