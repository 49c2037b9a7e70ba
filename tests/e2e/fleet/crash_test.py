#!/usr/bin/python3
"""Kills at every named fault point: final rows equal those of an unkilled run, effects once."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402

ROUNDS = 20
JOBS = 24
POINTS = ["claim.committed", "job.starting", "handler.running", "finish.sending", "finish.committed"]


class Crash(FleetTest):
    def fill(self):
        self.db.execute(
            "INSERT INTO rowcrew.event_subscription VALUES ('test', ARRAY['job.completed', 'job.failed'], NULL) ON CONFLICT DO NOTHING")
        for job_type in ("noop", "flaky", "fail"):
            self.enqueue(job_type, JOBS // 3)

    def rows(self):
        """What must not depend on kills: everything but ids, times, tokens and the count of crashes."""
        return self.db.execute(
            "SELECT job_type, status, attempts, error_code, error_message, result::text FROM rowcrew.job_queue ORDER BY 1, 2, 3")

    def events(self):
        return self.db.execute(
            "SELECT event, job_type, count(*), count(DISTINCT job_id) FROM rowcrew.job_event GROUP BY 1, 2 ORDER BY 1, 2")

    def unkilled(self):
        self.fill()
        node = self.node("calm").ready()
        self.wait_finished()
        node.stop()
        expected = self.rows(), self.events()
        self.db.execute("TRUNCATE rowcrew.job_queue, rowcrew.job_event, rowcrew.job_attempt")
        return expected

    def kill_rounds(self, point):
        expected_rows, expected_events = self.unkilled()
        kills = 0
        for round_number in range(ROUNDS):
            self.fill()
            victim = self.node(f"victim{round_number}", fault=f"{point}:{1 + round_number % 4}", node={"lease": "2s"})
            code = victim.exited(30)
            self.assertEqual(code, -9, victim.tail())
            kills += 1
            rescuer = self.node(f"rescuer{round_number}", node={"lease": "2s"})
            self.wait_finished(60)
            self.assertEqual(rescuer.stop()[0], 0)
            self.assertEqual(self.rows(), expected_rows)
            self.assertEqual(self.events(), expected_events)
            self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue_claim"), 0)
            self.db.execute("TRUNCATE rowcrew.job_queue, rowcrew.job_event, rowcrew.job_attempt")
            for node in self.nodes:
                node.close()
            self.nodes.clear()
        print(f"{point}: {kills} kills, rows and events as in the unkilled run")

    def test_a_node_killed_while_reaping_leaves_the_rest_to_the_next(self):
        expected_rows, expected_events = self.unkilled()
        for round_number in range(ROUNDS):
            self.fill()
            victim = self.node("victim", fault="claim.committed:1", node={"lease": "2s"})
            self.assertEqual(victim.exited(30), -9, victim.tail())
            reaper = self.node("reaper", fault=f"reap.page:{1 + round_number % 2}", node={"lease": "2s"})
            self.assertEqual(reaper.exited(30), -9, reaper.tail())
            rescuer = self.node("rescuer", node={"lease": "2s"})
            self.wait_finished(60)
            self.assertEqual(rescuer.stop()[0], 0)
            self.assertEqual(self.rows(), expected_rows)
            self.assertEqual(self.events(), expected_events)
            self.db.execute("TRUNCATE rowcrew.job_queue, rowcrew.job_event, rowcrew.job_attempt")
            for node in self.nodes:
                node.close()
            self.nodes.clear()
        print(f"reap.page: {ROUNDS} kills, rows and events as in the unkilled run")


def add(point):
    def test(self):
        self.kill_rounds(point)
    setattr(Crash, "test_a_kill_at_" + point.replace(".", "_") + "_changes_no_result", test)


for fault_point in POINTS:
    add(fault_point)

if __name__ == "__main__":
    unittest.main(verbosity=2)
