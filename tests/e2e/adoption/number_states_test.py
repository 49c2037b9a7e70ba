#!/usr/bin/python3
"""A table that keeps its states as whole numbers, as enums of Rails do, is served in its own numbers."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import adopt  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402

MAP = """
table: tickets
old_worker: none
states: {pending: 0, processing: 1, completed: 2, failed: -1, cancelled: 4}
columns: {status: state, job_type: kind, attempts: tries, error_message: last_error}
requeue: [failed]
"""


class NumberStates(FleetTest):
    def setUp(self):
        super().setUp()
        self.db.execute("CREATE TABLE tickets (id bigserial PRIMARY KEY, kind text NOT NULL, state smallint NOT NULL DEFAULT 0, tries int, last_error text)")

    def insert(self, kind, n=1):
        self.db.execute("INSERT INTO tickets (kind) SELECT %s FROM generate_series(1, %s)", (kind, n))

    def states(self):
        return {(kind, state): n for kind, state, n in self.db.execute("SELECT kind, state, count(*) FROM tickets GROUP BY 1, 2")}

    def test_jobs_wait_run_end_and_are_held_in_numbers(self):
        self.insert("noop", 10)
        adopt(self.db, "tickets", text=MAP)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.public_tickets_ready"), 10)
        node = self.node("node").ready()
        self.insert("noop", 10)
        self.insert("flaky", 5)
        self.insert("fail", 5)
        wait_for("all to end", lambda: self.states() == {("noop", 2): 20, ("flaky", 2): 5, ("fail", -1): 5})
        # A save of what was read before is a conflict; to run a failed one again is not.
        self.db.execute("UPDATE tickets SET state = 0 WHERE id = 1")
        self.db.execute("UPDATE tickets SET state = 0, kind = 'noop' WHERE kind = 'fail'")
        wait_for("the failed to run again", lambda: self.states() == {("noop", 2): 25, ("flaky", 2): 5})
        self.assertEqual(self.db.execute("SELECT was, wanted FROM rowcrew.adopted_conflict"), [("2", "0")])
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_words_that_are_no_numbers_are_refused_with_the_column_named(self):
        refused = adopt(self.db, "tickets", text=MAP.replace("pending: 0", "pending: queued"), check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("states.pending: 'queued' is no whole number, as column state holds them", refused.stdout + refused.stderr)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.adopted_table"), 0)


if __name__ == "__main__":
    unittest.main()
