#!/usr/bin/python3
"""20,000 jobs, four nodes: each runs exactly once."""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest  # noqa: E402

JOBS = 20_000


class Once(FleetTest):
    def test_four_nodes_run_twenty_thousand_jobs_once_each(self):
        self.db.execute("INSERT INTO rowcrew.event_subscription VALUES ('test', ARRAY['job.completed'], NULL)")
        nodes = [self.node(f"n{i}", queues={"default": 50}, log={"format": "json", "level": "warning"}) for i in range(4)]
        self.enqueue("noop", JOBS)
        began = time.monotonic()
        self.wait_finished(120)
        print(f"{JOBS} jobs on 4 nodes: {JOBS / (time.monotonic() - began):.0f}/s")
        self.assertEqual(self.db.counts(), {"completed": JOBS})
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE attempts <> 1 OR crashes <> 0"), 0)
        self.assertEqual(self.db.execute("SELECT count(*), count(DISTINCT job_id) FROM rowcrew.job_event"), [(JOBS, JOBS)])
        for node in nodes:
            self.assertEqual(node.stop()[0], 0, node.tail())
        started, completed, lost = self.db.execute(
            "SELECT sum(started), sum(completed), sum(claim_lost) FROM rowcrew.node_stat")[0]
        # A handler that ran twice would show here even if the fence hid its second result.
        self.assertEqual((started, completed, lost), (JOBS, JOBS, 0))


if __name__ == "__main__":
    unittest.main(verbosity=2)
