#!/usr/bin/python3
"""An operator asks why jobs of an adopted table do not run, lets failed ones run again and cancels the rest."""
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import adopt  # noqa: E402
from support.fleet import BIN, FleetTest, run, wait_for  # noqa: E402

MAP = """
table: tickets
old_worker: none
states: {pending: 0, processing: 1, completed: 2, failed: -1}
columns: {status: state, job_type: kind, attempts: tries}
"""


class Operate(FleetTest):
    def setUp(self):
        super().setUp()
        self.db.execute("CREATE TABLE tickets (id bigserial PRIMARY KEY, kind text NOT NULL, state smallint NOT NULL DEFAULT 0, tries int)")
        adopt(self.db, "tickets", text=MAP)
        self.fleet_node = self.node("node").ready()

    def insert(self, kind, n):
        self.db.execute("INSERT INTO tickets (kind) SELECT %s FROM generate_series(1, %s)", (kind, n))

    def states(self):
        return dict(self.db.execute("SELECT state, count(*) FROM tickets GROUP BY 1"))

    def rowcrew(self, *words):
        return run([BIN / "rowcrew", "--database", self.db.url, *words]).stdout

    def test_failed_jobs_run_again_when_the_operator_says_so(self):
        self.insert("fail", 300)
        wait_for("all to fail", lambda: self.states() == {-1: 300})
        self.assertRegex(self.rowcrew("why", "public_tickets:1"), "^failed.* after 1 of")
        self.db.execute("UPDATE tickets SET kind = 'noop'")  # mended
        self.assertEqual(self.rowcrew("redrive", "--table", "public_tickets", "--all", "--preview"), "would redrive 300\n")
        self.assertEqual(self.rowcrew("redrive", "--table", "public_tickets", "--all", "--rate", "1000"), "redriven 300\n")
        wait_for("all to complete", lambda: self.states() == {2: 300})
        self.assertRegex(self.rowcrew("why", "public_tickets:1"), "^finished")
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.adopted_conflict"), 0)

    def test_what_waits_says_why_and_is_cancelled_by_its_type(self):
        self.rowcrew("pause", "type", "noop", "--reason", "not today")
        self.fleet_node.wait_event("pause.changed")
        self.insert("noop", 50)
        why = lambda: json.loads(self.rowcrew("why", "public_tickets:7", "--json"))  # noqa: E731
        answer = wait_for("a node to set it aside", lambda: (found := why())["reason"] == "paused" and found)
        self.assertEqual(answer["job"], "public_tickets:7")
        self.assertIn("not today", answer["text"])
        self.assertEqual(self.rowcrew("cancel", "--table", "public_tickets", "--type", "noop"), "asked for the end of 50: nodes end them\n")
        wait_for("all to end", lambda: self.states() == {-1: 50})
        self.assertRegex(self.rowcrew("why", "public_tickets:7"), "^cancelled by ")
        self.assertEqual(self.rowcrew("redrive", "--table", "public_tickets", "--all", "--preview"), "would redrive 0\n")


if __name__ == "__main__":
    unittest.main()
