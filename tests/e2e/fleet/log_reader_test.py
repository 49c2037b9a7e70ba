#!/usr/bin/python3
"""A node whose log nobody reads: a stopped terminal, a log driver that hangs. It works on all the same."""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402

JOBS = 3000  # their lines fill a pipe several times over


class LogReader(FleetTest):
    def setUp(self):
        super().setUp()
        directory = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-log-"))
        self.addCleanup(shutil.rmtree, directory)
        self.pipe = directory / "log"
        os.mkfifo(self.pipe)
        self.reader = os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, self.reader)
        # The pipe stands between the node and its log; "exec": the node keeps the process.
        self.unread = self.node("unread", prefix=("sh", "-c", f'exec "$0" "$@" > {self.pipe}'), node={"lease": "5s"})
        wait_for("the node", lambda: self.db.value("SELECT count(*) FROM rowcrew.node WHERE NOT dead") == 1)

    def read(self):
        try:
            return os.read(self.reader, 1 << 16)
        except BlockingIOError:
            return b""

    def test_jobs_run_and_the_lease_is_kept_while_nobody_reads_and_no_line_is_lost(self):
        self.enqueue("noop", JOBS)
        self.wait_finished(30)
        beat = self.db.value("SELECT beat FROM rowcrew.node")
        wait_for("another beat", lambda: self.db.value("SELECT beat FROM rowcrew.node") != beat, 20)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.node WHERE dead"), 0)
        said = b""
        ended = {}

        def all_said():
            nonlocal said
            said += self.read()
            *whole, said = said.split(b"\n")
            for line in map(json.loads, whole):
                if line["event"] == "job.completed":
                    ended[line["job"]] = ended.get(line["job"], 0) + 1
            return len(ended) == JOBS

        wait_for("a line of each job", all_said, 20, every=0)
        self.assertEqual(set(ended.values()), {1})

    def test_a_node_stops_in_time_while_nobody_reads(self):
        self.enqueue("noop", JOBS)
        self.wait_finished(30)
        code, took = self.unread.stop()
        self.assertEqual(code, 0)
        self.assertLess(took, 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
