#!/usr/bin/python3
"""rowcrew doctor beside a running fleet: silent while all is well, and plain about what is not."""
import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, SOURCE, FleetTest, run, wait_for  # noqa: E402

# The server of the tests is neither durable nor its tests' own.
NOT_OURS = "server.durability,server.connections,server.horizon"


class Doctor(FleetTest):
    def doctor(self, *options, url=None):
        return run([BIN / "rowcrew", "--database", url or self.db.url, "doctor", "--skip", NOT_OURS, *options], check=False)

    def test_a_fleet_that_works_is_told_nothing_but_a_count(self):
        self.db.execute("UPDATE rowcrew.schedule SET enabled = true")
        self.node().ready()
        self.enqueue("noop", 100)
        self.enqueue("fail", 3)
        self.wait_finished()
        done = self.doctor("--strict")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertRegex(done.stdout, r"\A(\d+) checks, \1 fine\n\Z")
        self.assertEqual(self.doctor("--quiet").stdout, "")

    def test_what_is_wrong_comes_worst_first_with_what_mends_it(self):
        self.node().ready()
        self.db.execute("UPDATE rowcrew.schedule SET enabled = true")
        self.db.execute("INSERT INTO rowcrew.pause (scope, name, since) VALUES ('tenant', E'a\\nb', now() - interval '30 days')")
        self.db.execute("ALTER TABLE rowcrew.job_queue DISABLE TRIGGER rowcrew_file_new")
        self.db.execute("DROP INDEX rowcrew.job_queue_ready_queue_priority_run_at_idx")
        done = self.doctor()
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        lines = done.stdout.splitlines()
        self.assertEqual([line.split(":")[0] for line in lines[::2]],
                         ["problem  schema.indexes", "problem  schema.triggers", "warning  fleet.pauses", lines[-1]], done.stdout)
        self.assertRegex(lines[-1], r"\A\d+ checks, \d+ fine\Z")
        self.enqueue("noop")  # nobody files it
        for finding in json.loads(self.doctor("--json").stdout)["findings"]:
            if finding["severity"] == "problem":
                self.db.execute(finding["mend"])
        done = self.doctor()
        self.assertEqual((done.returncode, done.stdout.count("warning")), (0, 1), done.stdout)
        self.assertEqual(self.doctor("--strict").returncode, 1)
        self.enqueue("noop")
        wait_for("what is filed again", lambda: self.db.counts().get("completed"))

    def test_a_fleet_that_has_vanished_is_missed(self):
        node = self.node(node={"lease": "10s"}).ready()
        node.kill()
        # A beat that it has sent would still be written.
        wait_for("its sessions to end", lambda: self.db.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'rowcrew%'") == 0)
        self.db.execute("UPDATE rowcrew.node SET last_seen = last_seen - interval '1 hour'")  # as an hour later
        done = self.doctor("--quiet")
        self.assertEqual(done.returncode, 1)
        self.assertIn("problem  fleet.nodes: no node is live (1 listed, the last beat was node's, 60m ago): nothing runs\n", done.stdout)

    def test_it_changes_nothing(self):
        """And needs no right to: in a session that may not write."""
        self.db.execute(f'ALTER DATABASE "{self.db.name}" SET default_transaction_read_only = on')
        done = self.doctor("--json", url=self.db.url + ("&" if "?" in self.db.url else "?") + "target_session_attrs=any")
        told = json.loads(done.stdout)
        self.assertIn("server.writes", [finding["check"] for finding in told["findings"]])
        self.assertEqual(told["not_checked"], [])

    def test_every_check_is_in_the_manual(self):
        known = dict(re.findall(r"^(\S+) +(.*)$", run([BIN / "rowcrew", "doctor", "--list"]).stdout, re.MULTILINE))
        self.assertGreater(len(known), 25)
        table = dict(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| (.*) \|$", (SOURCE / "docs/doctor.md").read_text(), re.MULTILINE))
        self.assertEqual(table, known)


if __name__ == "__main__":
    unittest.main(verbosity=2)
