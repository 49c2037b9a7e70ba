#!/usr/bin/python3
"""From the commit of an INSERT into an idle fleet to the child's first act, on one clock."""
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402

JOBS = 1000
LIMIT_MS = 50
ROUNDS = 3
COARSE_MS = 4  # file times come from the kernel's tick and may lie that much in the past


class PickUp(FleetTest):
    def test_a_job_starts_within_fifty_milliseconds_of_its_commit(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-pickup-"))
        self.addCleanup(shutil.rmtree, directory)
        # The child's first act is to make a file: its time is the child's, by the machine's clock.
        touch = {"argv": ["/bin/mkdir", str(directory) + "/{name}"], "args": {"name": "[0-9]+"}}
        node = self.node("idle", kinds={"command": {"allow": {"touch": touch}}}).ready()
        node.wait_event("listener.ready")
        for attempt in range(ROUNDS):  # what else runs on the machine only ever adds
            waits = sorted(self.wait_ms(directory, f"{attempt}{i:04}") for i in range(JOBS))
            p99 = waits[int(JOBS * 0.99) - 1]
            print(f"commit to the child's first act over {JOBS} jobs: p50 {statistics.median(waits):.1f} ms, "
                  f"p99 {p99:.1f} ms, max {waits[-1]:.1f} ms")
            if p99 <= LIMIT_MS:
                return
        self.fail(f"p99 above {LIMIT_MS} ms, {ROUNDS} times")

    def wait_ms(self, directory, name):
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload) VALUES ('command', "
                        "jsonb_build_object('entry', 'touch', 'args', jsonb_build_object('name', %s::text)))", (name,))
        committed = time.time_ns()
        made = directory / name
        wait_for(f"job {name}", made.exists, 10, every=0.0005)
        # Idle again before the next one.
        wait_for(f"the end of job {name}", lambda: self.db.unfinished() == 0, 10, every=0.001)
        return (made.stat().st_ctime_ns - committed) / 1e6 + COARSE_MS

    def test_jobs_that_one_claim_brings_start_by_priority_and_time(self):
        node = self.node("one", queues={"default": 1}, database={"lanes": 1}).ready()
        node.wait_event("listener.ready")
        self.enqueue("noop", 300)  # so short that the next are claimed ahead
        self.wait_finished()
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload, priority) SELECT 'sleep', jsonb_build_object('ms', 2, 'n', n),"
                        " CASE WHEN n % 10 = 0 THEN 0 ELSE 5 END FROM generate_series(1, 60) n")
        self.wait_finished()
        numbers = dict(self.db.execute("SELECT id::text, (payload ->> 'n')::int FROM rowcrew.job_queue WHERE job_type = 'sleep'"))
        started = [numbers[line["job"]] for line in node.wait_lines("job.started", 360) if line["job"] in numbers]
        self.assertEqual(started, sorted(range(1, 61), key=lambda n: (n % 10 != 0, n)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
