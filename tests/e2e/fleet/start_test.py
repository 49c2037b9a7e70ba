#!/usr/bin/python3
"""What a node refuses to start on, what it waits for, and what it says."""
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, Database, FleetTest, run, wait_for  # noqa: E402
from support.proxy import Proxy  # noqa: E402


class Configuration(unittest.TestCase):
    def complaint(self, **config):
        config.setdefault("database", {"url": "postgresql:///nowhere?host=/nonexistent"})
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(json.dumps(config))
            file.flush()
            done = run([BIN / "rowcrewd", "--config", file.name], check=False, within=20)
        self.assertEqual(done.returncode, 78, done.stdout + done.stderr)
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, lines)
        return lines[0]

    def test_an_unknown_key_is_named_with_the_nearest_known_one(self):
        line = self.complaint(node={"leese": "30s"})
        self.assertIn("node.leese", line)
        self.assertIn("node.lease", line)

    def test_a_wrong_unit_names_key_value_and_what_was_expected(self):
        line = self.complaint(node={"lease": 90})
        for part in ("node.lease", "90", "2s", "10m"):
            self.assertIn(part, line)

    def test_a_value_out_of_range_names_the_range(self):
        line = self.complaint(queues={"default": 0})
        for part in ("queues.default", "0", "1", "10000"):
            self.assertIn(part, line)

    def test_an_unreadable_secret_file_names_key_and_path(self):
        line = self.complaint(database={"url_file": "/nonexistent/url"})
        for part in ("database.url_file", "/nonexistent/url"):
            self.assertIn(part, line)

    def test_a_kind_with_a_bad_entry_is_named(self):
        self.assertIn("kinds.command.allow.bad", self.complaint(
            kinds={"command": {"allow": {"bad": {"argv": ["relative/path"]}}}}))

    def test_a_wrong_option_exits_64(self):
        self.assertEqual(run([BIN / "rowcrewd", "--nonsense"], check=False).returncode, 64)

    def test_a_file_that_is_named_without_its_option_is_refused_and_not_passed_over(self):
        done = run([BIN / "rowcrewd", "--check-config", "/etc/rowcrew/default.yaml"], check=False, within=20)
        self.assertEqual(done.returncode, 64, done.stdout + done.stderr)
        self.assertIn("--help", done.stderr)

    def test_an_option_is_written_out(self):
        self.assertEqual(run([BIN / "rowcrewd", "--check"], check=False, within=20).returncode, 64)

    def test_check_config_masks_secrets(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(json.dumps({"database": {"url": "postgresql://me:sesame@/db"}}))
            file.flush()
            done = run([BIN / "rowcrewd", "--config", file.name, "--check-config"])
        self.assertNotIn("sesame", done.stdout + done.stderr)
        self.assertIn("node.lease = 30s", done.stdout)


class Schema(FleetTest):
    def refusal(self):
        node = self.node("refused")
        self.assertEqual(node.exited(20), 78, node.tail())
        return node.lines("node.stopped")[-1]["msg"]

    def test_a_database_without_the_schema_says_which_command_to_run(self):
        empty = Database(migrate=False)
        self.addCleanup(empty.drop)
        node = self.node("early", url=empty.url)
        self.assertEqual(node.exited(20), 78, node.tail())
        self.assertIn("rowcrew migrate", node.tail())

    def test_an_older_schema_says_which_command_to_run(self):
        self.db.execute("UPDATE rowcrew.meta SET schema_version = 1")
        self.assertIn("rowcrew migrate", self.refusal())

    def test_a_schema_that_needs_newer_programs_says_so(self):
        self.db.execute("UPDATE rowcrew.meta SET min_binary = 1000")
        self.assertIn("install the newer package", self.refusal())

    def test_a_restored_copy_waits_for_takeover(self):
        self.db.execute("UPDATE rowcrew.meta SET home_database = 1")
        self.enqueue("noop")
        self.assertIn("rowcrew takeover", self.refusal())
        run([BIN / "rowcrew", "--database", self.db.url, "takeover", "--yes"])
        self.node("at_home").ready()
        self.wait_finished()

    def test_a_newer_schema_that_allows_this_program_is_worked_on(self):
        self.db.execute("UPDATE rowcrew.meta SET schema_version = 1000")
        self.enqueue("noop")
        self.node("older_program").ready()
        self.wait_finished()


class Outage(FleetTest):
    def test_a_database_that_is_away_at_start_is_waited_for(self):
        with Proxy(self.db.url) as proxy:
            proxy.black_hole()
            node = self.node("patient", url=proxy.url, database={"connect_timeout": "1s"})
            node.wait_event("node.started")
            node.wait_event("db.unreachable")
            self.enqueue("noop")
            proxy.restore()
            node.ready(30)
            self.wait_finished()
            self.assertEqual(node.stop()[0], 0)

    def test_a_stop_before_the_database_has_answered_waits_for_nothing(self):
        with Proxy(self.db.url) as proxy:
            proxy.black_hole()
            node = self.node("hopeful", url=proxy.url, database={"connect_timeout": "1m"})
            node.wait_event("node.started")
            code, seconds = node.stop(30)
            print(f"never connected: exit {code} in {seconds:.1f} s")
            self.assertEqual(code, 0, node.tail())
            self.assertLess(seconds, 5)

    def test_a_node_works_again_by_itself_after_its_connections_were_cut(self):
        with Proxy(self.db.url) as proxy:
            node = self.node("cut", url=proxy.url).ready()
            self.enqueue("noop")
            self.wait_finished()
            for _ in range(5):
                proxy.cut()
                self.enqueue("noop", 20)
                self.wait_finished(30)
            self.assertEqual(self.db.counts(), {"completed": 101})
            self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE attempts <> 1"), 0)
            wait_for("claims to be cleared", lambda: self.db.value("SELECT count(*) FROM rowcrew.job_queue_claim") == 0)
            self.assertEqual(node.stop()[0], 0)

    def test_killed_backends_lose_nothing(self):
        node = self.node("killed").ready()
        for _ in range(10):
            self.enqueue("noop", 50)
            self.db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user")
        self.wait_finished(60)
        self.assertEqual(self.db.counts(), {"completed": 500})
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE attempts <> 1"), 0)
        self.assertEqual(node.stop()[0], 0)


class Troubles(FleetTest):
    """What a node may not, or cannot, do any more is told where operators look, and so is its end."""

    def test_a_node_that_may_not_claim_any_more_says_so_and_claims_when_it_may_again(self):
        node = self.node("forbidden").ready()
        # The tests' role owns everything, so a trigger forbids what a missing right would.
        self.db.execute("CREATE FUNCTION rowcrew.forbid() RETURNS trigger LANGUAGE plpgsql AS "
                        "$$ BEGIN RAISE insufficient_privilege USING MESSAGE = 'claims are forbidden'; END $$")
        self.db.execute("CREATE TRIGGER forbid BEFORE INSERT ON rowcrew.job_queue_claim EXECUTE FUNCTION rowcrew.forbid()")
        self.enqueue("noop", 3)
        line = node.wait_event("work.failing", within=20, what="claims")
        self.assertEqual((line["level"], line["of"], line["code"]), ("warning", "job_queue", "db_42501"))
        self.assertIn("claims are forbidden", line["msg"])
        self.db.execute("DROP TRIGGER forbid ON rowcrew.job_queue_claim")
        self.wait_finished(20)
        node.wait_event("work.resumed", what="claims")
        self.assertEqual(len(node.lines("work.failing")), 1)

    def test_ends_that_cannot_be_written_are_told_of_and_not_lost(self):
        node = self.node("full").ready()
        self.db.execute("CREATE FUNCTION rowcrew.full() RETURNS trigger LANGUAGE plpgsql AS "
                        "$$ BEGIN RAISE disk_full USING MESSAGE = 'no space left'; END $$")
        self.db.execute("CREATE TRIGGER full_disk BEFORE UPDATE ON rowcrew.job_queue FOR EACH ROW "
                        "WHEN (NEW.status = 'completed') EXECUTE FUNCTION rowcrew.full()")
        self.enqueue("noop", 3)
        line = node.wait_event("work.failing", within=20, what="ends")
        self.assertIn("no space left", line["msg"])
        self.db.execute("DROP TRIGGER full_disk ON rowcrew.job_queue")
        self.wait_finished(20)
        node.wait_event("work.resumed", what="ends")
        self.assertEqual(self.db.counts(), {"completed": 3})


class Connections(FleetTest):
    def test_with_fewer_connections_than_it_would_open_a_node_works_on_those_it_gets(self):
        # One is this test's own; a node needs one each to claim, to beat, to listen and to lead.
        self.db.execute(f'ALTER DATABASE "{self.db.name}" CONNECTION LIMIT 5')
        node = self.node("few").ready()
        for _ in range(5):
            self.enqueue("noop", 200)
            self.wait_finished(20)
        self.assertIn("too many connections", node.wait_event("db.crowded")["msg"])
        self.assertEqual(node.lines("db.unreachable"), [])
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_attempt"), 0)

    def test_a_node_that_got_too_few_connections_takes_more_as_soon_as_there_are(self):
        self.db.execute(f'ALTER DATABASE "{self.db.name}" CONNECTION LIMIT 2')
        node = self.node("fewer")
        self.enqueue("noop", 20)
        node.wait_event("db.crowded")
        self.db.execute(f'ALTER DATABASE "{self.db.name}" CONNECTION LIMIT 20')
        self.wait_finished(20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
