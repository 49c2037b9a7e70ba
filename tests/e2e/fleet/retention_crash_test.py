#!/usr/bin/python3
"""Kills in the middle of a retention walk, 20 of them: what was old is archived once, what lives stays."""
import concurrent.futures
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import Database, Node, wait_for  # noqa: E402

ROUNDS = 20
LANES = 5
OLD, FRESH, LIVE = 900, 50, 50


def walk(fault):
    db = Database()
    nodes = []
    try:
        db.execute("UPDATE rowcrew.retention_policy SET enabled = (name = 'jobs'), batch = 100")
        db.execute("INSERT INTO rowcrew.job_queue (job_type, status, queue, completed_at) SELECT 'old', 'completed', 'none', "
                   "clock_timestamp() - interval '91 days' FROM generate_series(1, %s)", (OLD,))
        db.execute("INSERT INTO rowcrew.job_queue (job_type, status, queue, completed_at) SELECT 'fresh', 'failed', 'none', "
                   "clock_timestamp() - interval '89 days' FROM generate_series(1, %s)", (FRESH,))
        db.execute("INSERT INTO rowcrew.job_queue (job_type, queue, created_at) SELECT 'live', 'none', "
                   "clock_timestamp() - interval '91 days' FROM generate_series(1, %s)", (LIVE,))
        db.execute("INSERT INTO rowcrew.job_queue (job_type) VALUES ('retention')")
        if fault:
            nodes.append(Node(db, "victim", fault=fault, node={"lease": "2s"}))
            code = nodes[0].exited(60)
            if code != -9:
                raise AssertionError(f"{fault}: the victim ended with {code}\n{nodes[0].tail()}")
        nodes.append(Node(db, "rescuer", node={"lease": "2s"}))
        wait_for("the walk to end", lambda: db.value("SELECT status FROM rowcrew.job_queue WHERE job_type = 'retention'") == "completed", 60)
        return {
            "left": db.execute("SELECT job_type, status, count(*) FROM rowcrew.job_queue GROUP BY 1, 2 ORDER BY 1, 2"),
            "archived": db.execute("SELECT policy, source, row ->> 'job_type', count(*), count(DISTINCT id) FROM rowcrew.archive GROUP BY 1, 2, 3"),
        }
    finally:
        for node in nodes:
            node.close()
        db.drop()


class RetentionCrash(unittest.TestCase):
    def test_a_kill_between_two_pages_loses_and_doubles_nothing(self):
        unkilled = walk(None)
        self.assertEqual(unkilled["archived"], [("jobs", "job_queue", "old", OLD, OLD)])
        self.assertEqual(unkilled["left"], [("fresh", "failed", FRESH), ("live", "pending", LIVE), ("retention", "completed", 1)])
        with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
            for result in lanes.map(walk, [f"retention.page:{1 + n % 9}" for n in range(ROUNDS)]):
                self.assertEqual(result, unkilled)


if __name__ == "__main__":
    unittest.main(verbosity=2)
