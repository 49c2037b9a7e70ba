#!/usr/bin/python3
"""Nodes that are cut off or frozen in the middle of jobs: two executions of a job never overlap, by their own stamps."""
import collections
import pathlib
import signal
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from cluster import size  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402
from support.proxy import Proxy  # noqa: E402
from tries import Tries  # noqa: E402

LEASE = {"lease": "4s"}
ROUNDS = size(1, 20)
CHILDREN = 4
COROUTINES = 40
SLOTS = CHILDREN + COROUTINES + 1  # and a stubborn one

# Says every few milliseconds that it is there, does not listen to SIGTERM, ends when it is let.
CHILD = ("trap '' TERM; until [ -e $0/let ]; do echo \"$1 $$ $(date +%s%N)\" >> $0/stamps; sleep 0.01; done")


class Overlap(FleetTest):
    def setUp(self):
        super().setUp()
        self.tries = Tries()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-overlap-"))
        self.kinds = {"command": {"allow": {"stamping": {
            "argv": ["/bin/sh", "-c", CHILD, str(self.folder), "{n}"], "args": {"n": "[0-9]+"},
            "env": {"PATH": "/usr/bin:/bin"}, "timeout": "10m"}}}}

    def tearDown(self):
        super().tearDown()
        self.tries.close()
        for name in ("stamps", "let"):
            (self.folder / name).unlink(missing_ok=True)
        self.folder.rmdir()

    def start_all(self, name, **more):
        """A node that runs every child and coroutine there is."""
        node = self.node(name, node=LEASE, kinds=self.kinds, env=self.tries.env(),
                         queues={"default": SLOTS}, **more).ready()
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'command', "
                        "jsonb_build_object('entry', 'stamping', 'args', jsonb_build_object('n', n::text)) "
                        "FROM generate_series(1, %s) n", (CHILDREN,))
        self.enqueue("tried", COROUTINES, '{"ms": 600000}')
        wait_for("all to run", lambda: len(self.stamps()) == CHILDREN and len(self.tries.starts()) == COROUTINES)
        self.db.execute("UPDATE rowcrew.job_queue SET payload = '{\"ms\": 100}' WHERE job_type = 'tried'")
        return node

    def heir(self):
        return self.node("heir", node=LEASE, kinds=self.kinds, env=self.tries.env(),
                         queues={"default": SLOTS}).ready()

    def stamps(self):
        """child's job -> {process: [its stamps in ns]}"""
        found = collections.defaultdict(lambda: collections.defaultdict(list))
        path = self.folder / "stamps"
        if path.exists():
            for line in path.read_text().splitlines():
                job, process, stamp = line.split()
                found[job][process].append(int(stamp))
        return found

    def wait_second_children(self):
        # They crashed once, so they may run one after the other: let each end as soon as it has begun.
        wait_for("a second execution of a child", lambda: any(len(p) > 1 for p in self.stamps().values()), 60)
        (self.folder / "let").touch()
        self.wait_finished(60)

    def check_children(self):
        gaps = []
        for job, processes in self.stamps().items():
            self.assertLessEqual(len(processes), 2, f"child {job}")
            spans = sorted((min(stamps), max(stamps)) for stamps in processes.values())
            for (_, end), (begin, _) in zip(spans, spans[1:]):
                gaps.append((begin - end) / 1e9)
                self.assertGreater(begin, end, f"child {job} ran twice at once")
        self.assertGreater(len(gaps), 0)
        return min(gaps)

    def check_coroutines(self):
        gaps = []
        for job, executions in self.tries.executions().items():
            self.assertEqual(len(executions), 2, f"job {job}: {executions}")
            (_, end, _), (begin, _, _) = executions
            self.assertIsNotNone(end, f"job {job}: its first execution never ended")
            gaps.append((begin - end) / 1e6)
            self.assertGreater(begin, end, f"job {job} ran twice at once")
        self.assertEqual(len(gaps), COROUTINES)
        return min(gaps)

    def test_a_node_that_is_cut_off_has_ended_everything_before_another_begins(self):
        for _ in range(ROUNDS):
            with Proxy(self.db.url) as proxy:
                cut_off = self.start_all("cut_off", url=proxy.url)
                heir = self.heir()
                proxy.black_hole()
                cut_off.wait_event("lease.stopping", 20)
                self.wait_second_children()
                print(f"cut off: {self.check_children():.2f} s between two executions of a child, "
                      f"{self.check_coroutines():.2f} s of a coroutine, at least")
                cut_off.kill()
                heir.stop()
            self.forget_all()

    def test_the_children_of_a_frozen_node_end_with_its_lease_and_its_late_writes_are_refused(self):
        for _ in range(ROUNDS):
            frozen = self.start_all("frozen")
            self.enqueue("tried", payload='{"ms": 1500, "stubborn": true}')
            wait_for("the stubborn one", lambda: len(self.tries.starts()) == COROUTINES + 1)
            frozen.signal(signal.SIGSTOP)
            heir = self.heir()
            self.wait_second_children()
            print(f"frozen: {self.check_children():.2f} s between two executions of a child at least")
            ended = self.db.execute("SELECT * FROM rowcrew.job_queue ORDER BY id")
            frozen.signal(signal.SIGCONT)
            frozen.wait_event("job.claim_lost", 20)
            # Declared dead, it registers anew, and its statistics tell of the write that was refused.
            self.assertTrue(wait_for("the refusal to be counted", lambda: self.db.value(
                "SELECT coalesce(sum(claim_lost), 0) FROM rowcrew.node_stat"), 30))
            self.assertEqual(self.db.execute("SELECT * FROM rowcrew.job_queue ORDER BY id"), ended)
            frozen.stop()
            heir.stop()
            self.forget_all()

    def forget_all(self):
        self.db.execute("DELETE FROM rowcrew.job_queue")
        self.db.execute("DELETE FROM rowcrew.node_stat")
        self.tries.path.write_text("")
        for name in ("stamps", "let"):
            (self.folder / name).unlink(missing_ok=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
