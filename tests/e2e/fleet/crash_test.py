#!/usr/bin/python3
"""Kills at every named fault point: final rows equal those of an unkilled run, effects once."""
import concurrent.futures
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import Node, Stage, wait_for  # noqa: E402

ROUNDS = 20
LANES = 5  # rounds side by side: each is mostly a wait for the dead node's lease
JOBS_OF_A_TYPE = 8
POINTS = ["claim.committed", "job.starting", "handler.running", "finish.sending", "finish.committed"]


class Run(Stage):
    """One database, filled; nodes come and go until every job has ended."""

    def __init__(self):
        super().__init__()
        self.db.execute(
            "INSERT INTO rowcrew.event_subscription VALUES ('test', ARRAY['job.completed', 'job.failed'], NULL)")
        self.db.execute(
            "INSERT INTO rowcrew.job_queue (job_type) "
            "SELECT t FROM unnest(ARRAY['noop', 'flaky', 'fail']) t, generate_series(1, %s)", (JOBS_OF_A_TYPE,))

    def node(self, name, fault=None):
        node = Node(self.db, name, fault=fault, node={"lease": "2s"})
        self.nodes.append(node)
        return node

    def die_at(self, fault):
        victim = self.node("victim", fault)
        code = victim.exited(60)
        if code != -9:
            raise AssertionError(f"{fault}: the victim ended with {code}\n{victim.tail()}")

    def finish(self):
        """What remains must not depend on kills: all but ids, times, tokens and the crash count."""
        rescuer = self.node("rescuer").ready()
        wait_for(f"every job to end, {self.db.counts()}", lambda: self.db.unfinished() == 0, 90)
        # A claim whose jobs had all ended when its node died is reaped, when that node's lease is over.
        wait_for("every claim to go", lambda: self.db.value("SELECT count(*) FROM rowcrew.job_queue_claim") == 0, 30)
        code, _ = rescuer.stop()
        if code != 0:
            raise AssertionError(f"the rescuer ended with {code}\n{rescuer.tail()}")
        return {
            "rows": self.db.execute("SELECT job_type, status, attempts, error_code, error_message, result::text "
                                    "FROM rowcrew.job_queue ORDER BY 1, 2, 3, 4"),
            "events": self.db.execute("SELECT event, job_type, count(*), count(DISTINCT job_id) "
                                      "FROM rowcrew.job_event GROUP BY 1, 2 ORDER BY 1, 2"),
            "claims": self.db.value("SELECT count(*) FROM rowcrew.job_queue_claim"),
        }


def killed_at(faults):
    with Run() as run:
        for fault in faults:
            run.die_at(fault)
        return run.finish()


class Crash(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.unkilled = killed_at([])

    def check_rounds(self, point, faults_of_round):
        with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
            for result in lanes.map(killed_at, [faults_of_round(n) for n in range(ROUNDS)]):
                self.assertEqual(result, self.unkilled)
        print(f"{point}: {ROUNDS} kills, rows and events as in the unkilled run")

    def test_a_node_killed_while_reaping_leaves_the_rest_to_the_next(self):
        self.check_rounds("reap.page", lambda n: ["claim.committed:1", f"reap.page:{1 + n % 2}"])


def add(point):
    def test(self):
        # Ends gather into batches: two writes are certain, more are not.
        passes = 2 if point.startswith("finish") else 4
        self.check_rounds(point, lambda n: [f"{point}:{1 + n % passes}"])
    setattr(Crash, "test_a_kill_at_" + point.replace(".", "_") + "_changes_no_result", test)


for fault_point in POINTS:
    add(fault_point)

if __name__ == "__main__":
    unittest.main(verbosity=2)
