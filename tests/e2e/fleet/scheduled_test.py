#!/usr/bin/python3
"""Jobs that are scheduled, and producers that commit them late."""
import pathlib
import sys
import time
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402

INSERT = """
INSERT INTO rowcrew.job_queue (job_type, payload, scheduled_at)
VALUES ('command', '{"entry": "true"}', clock_timestamp() + interval '200 ms') RETURNING id
"""
OPEN_S = 4     # longer than what a look allows producers for
WITHIN_S = 3   # two, and what a busy machine adds; heartbeats come upon it after four and more


class Scheduled(FleetTest):
    def test_a_job_that_is_committed_long_after_its_time_starts_although_others_went_before(self):
        node = self.node("one", kinds={"command": {"allow": {"true": {"argv": ["/bin/true"]}}}}).ready()
        node.wait_event("listener.ready")
        producer = psycopg2.connect(self.db.url)
        self.addCleanup(producer.close)
        with producer.cursor() as cursor:
            cursor.execute(INSERT)
            late = cursor.fetchone()[0]
        opened = time.monotonic()
        while time.monotonic() - opened < OPEN_S:
            self.ended(self.db.execute(INSERT)[0][0], 10)
        producer.commit()
        committed = time.monotonic()
        self.ended(late, 30)
        took = time.monotonic() - committed
        print(f"ended {took:.1f} s after its commit")
        self.assertLess(took, WITHIN_S)

    def ended(self, job, within):
        wait_for(f"job {job}", lambda: self.db.value("SELECT status FROM rowcrew.job_queue WHERE id = %s", (job,)) == "completed",
                 within, every=0.01)


if __name__ == "__main__":
    unittest.main(verbosity=2)
