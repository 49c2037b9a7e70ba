#!/usr/bin/python3
"""What handlers say while they run, and what is done about those that take too long."""
import pathlib
import socket
import sys
import tempfile
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, FleetTest, run, wait_for  # noqa: E402


class Execution(FleetTest):
    def why(self, reason):
        return self.db.execute("SELECT a.line FROM rowcrew.job_queue q, rowcrew.why(q.id) a WHERE a.answer ->> 'reason' = %s", (reason,))

    def test_a_checkpoint_survives_retries_and_why_shows_progress(self):
        self.node().ready()
        self.enqueue("steps", payload='{"steps": 3, "ms": 300}')
        wait_for("progress", lambda: [line for (line,) in self.why("running") if "33 %: step 2" in line], 20)
        self.wait_finished(20)
        self.assertEqual(self.db.execute("SELECT status, attempts, result FROM rowcrew.job_queue"), [("completed", 4, 3)])

    def test_a_checkpoint_that_cannot_be_written_at_once_is_not_lost_and_silences_no_other_job(self):
        node = self.node(log={"level": "debug"}).ready()
        with psycopg2.connect(self.db.url) as connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLE rowcrew.job_progress IN EXCLUSIVE MODE")
            self.enqueue("steps", payload='{"steps": 3}')
            node.wait_event("job.progress")
        self.wait_finished(20)
        self.assertEqual(self.db.execute("SELECT status, attempts, result FROM rowcrew.job_queue"), [("completed", 4, 3)])
        self.enqueue("steps", payload='{"steps": 3, "ms": 600000}')
        wait_for("its progress", lambda: [line for (line,) in self.why("running") if "0 %: step 1" in line], 5)

    def test_a_checkpoint_survives_the_death_of_its_node(self):
        first = self.node("first", node={"lease": "2s"}).ready()
        self.enqueue("steps", payload='{"steps": 1, "ms": 1}')
        self.wait_finished(20)  # a first one, so that the second's rows lie beside others
        self.enqueue("steps", payload='{"steps": 2, "ms": 600000}')
        self.db.execute("INSERT INTO rowcrew.job_progress (job_table, job_id, checkpoint) "
                        "SELECT 'job_queue', id, '2' FROM rowcrew.job_queue WHERE status <> 'completed'")
        first.wait_event("job.started")
        wait_for("it to run", lambda: self.db.counts().get("processing") == 1)
        first.kill()
        self.db.execute("UPDATE rowcrew.job_queue SET payload = '{\"steps\": 2}' WHERE status <> 'completed'")
        self.node("second", node={"lease": "2s"}).ready()
        self.wait_finished(30)
        self.assertEqual(self.db.value("SELECT result FROM rowcrew.job_queue ORDER BY id DESC LIMIT 1"), 2)

    def test_deadlines_end_what_starts_or_lasts_too_long(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, start_within_ms, total_ms, timeout_ms, max_attempts) VALUES "
                        "('noop', 60000, 3600000, 600000, 5), ('sleep', NULL, 1500, 600000, 5), ('flaky', NULL, NULL, 600000, 5)")
        self.db.execute("UPDATE rowcrew.job_type SET retry_for_ms = 60000, retry_delays_ms = '{20}' WHERE name = 'flaky'")
        self.node().ready()
        old = "now() - interval '2 minutes'"
        self.db.execute(f"INSERT INTO rowcrew.job_queue (job_type, scheduled_at, created_at) VALUES ('noop', {old}, {old})")
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, scheduled_at, created_at) VALUES ('noop', now(), now() - interval '2 hours')")
        self.enqueue("noop")
        self.enqueue("sleep", payload='{"ms": 600000}')
        self.db.execute(f"INSERT INTO rowcrew.job_queue (job_type, payload, created_at) VALUES ('flaky', '{{\"fail\": 2}}', {old}), "
                        "('flaky', '{\"fail\": 2}', now())")
        self.wait_finished(20)
        rows = self.db.execute("SELECT job_type, status, coalesce(error_code, '-'), attempts FROM rowcrew.job_queue ORDER BY 1, 3, 4")
        self.assertEqual(rows, [("flaky", "completed", "-", 3), ("flaky", "failed", "flaky", 1), ("noop", "completed", "-", 1),
                                ("noop", "failed", "start_deadline", 0), ("noop", "failed", "total_deadline", 0),
                                ("sleep", "failed", "total_deadline", 1)])

    def test_a_node_starts_no_job_before_it_has_read_the_policies_of_its_type(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, start_within_ms) VALUES ('noop', 60000)")
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, scheduled_at, created_at) "
                        "SELECT 'noop', at, at FROM (SELECT now() - interval '2 minutes' AS at) old")
        waits = "SELECT min(query_start) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        with psycopg2.connect(self.db.url) as reader:
            reader.cursor().execute("LOCK TABLE rowcrew.job_type IN ACCESS EXCLUSIVE MODE")
            node = self.node().ready()
            first = wait_for("the node to wait for its policies", lambda: self.db.value(waits))
            self.enqueue("noop", n=100)  # wakes whoever may claim
            # After its lock_timeout; a job that is started too early is so within milliseconds.
            wait_for("the node to ask for them again", lambda: (self.db.value(waits) or first) > first)
            self.assertEqual(node.lines("job.started"), [])
        reader.close()
        self.wait_finished(20)
        self.assertEqual(self.db.execute("SELECT coalesce(error_code, '-'), count(*) FROM rowcrew.job_queue GROUP BY 1 ORDER BY 1"),
                         [("-", 100), ("start_deadline", 1)])

    def test_policies_that_cannot_be_read_keep_a_node_from_nothing_else(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name) VALUES ('noop')")
        node = self.node("stays", node={"lease": "2s"}).ready()
        self.enqueue("noop")
        self.wait_finished(20)
        other = self.node("dies", node={"lease": "2s"}, queues={"other": 1}).ready()
        with psycopg2.connect(self.db.url) as holder:
            holder.cursor().execute("UPDATE rowcrew.job_type SET timeout_ms = 1000")
            holder.commit()  # announced
            holder.cursor().execute("LOCK TABLE rowcrew.job_type IN ACCESS EXCLUSIVE MODE")
            other.kill()
            node.wait_event("node.dead", name="dies", within=20)
        holder.close()

    def test_rules_for_error_codes_and_the_size_of_results(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, max_result_bytes) VALUES ('wordy', 100)")
        self.db.execute("INSERT INTO rowcrew.retry_rule VALUES ('flaky', 'flaky', 'permanent', NULL), ('*', 'asked_to', 'retry', '{10,20}')")
        self.node().ready()
        for payload in ('{"bytes": 98}', '{"bytes": 99}'):
            self.enqueue("wordy", payload=payload)
        self.enqueue("flaky")
        self.enqueue("fail")
        self.wait_finished(20)
        rows = self.db.execute("SELECT job_type, status, coalesce(error_code, '-'), attempts FROM rowcrew.job_queue ORDER BY 1, 2")
        self.assertEqual(rows, [("fail", "failed", "asked_to", 5), ("flaky", "failed", "flaky", 1),
                                ("wordy", "completed", "-", 1), ("wordy", "failed", "result_too_large", 1)])

    def test_results_go_when_their_time_is_over_although_nothing_else_happens(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, keep_result_ms) VALUES ('wordy', 60000)")
        node = self.node(node={"audit_every": "500ms"}).ready()
        self.enqueue("wordy")
        self.wait_finished()
        read = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE schemaname = 'rowcrew' AND relname = 'job_queue'"
        self.db.execute("SELECT pg_stat_force_next_flush()")  # of what the waiting has read
        for look in ("see the end", "look again although nothing has changed"):
            before = self.db.value(read)
            wait_for(f"the node to {look}", lambda: self.db.value(read) > before, 20, every=0.1)
        self.db.execute("SELECT rowcrew.set_clock_offset('2 minutes')")
        wait_for("the result to go", lambda: self.db.value("SELECT result IS NULL FROM rowcrew.job_queue"), 10)
        self.assertEqual(node.stop()[0], 0)

    def test_a_handler_that_spins_is_named_and_the_watchdog_told(self):
        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/notify"
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(path)
                manager.settimeout(20)
                node = self.node(node={"lease": "4s"}, env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "3000000"}).ready()
                self.enqueue("sleep", payload='{"ms": 600000}')
                node.wait_event("job.started", job_type="sleep")
                self.enqueue("spin", payload='{"ms": 600000}')
                spinning = self.db.value("SELECT id FROM rowcrew.job_queue WHERE job_type = 'spin'")
                named = node.wait_event("job.stuck", job=spinning)
                self.assertEqual(named["job_type"], "spin")
                told = b""
                while told != b"WATCHDOG=trigger":
                    told = manager.recv(4096)
                # Not fed any more, from its event loop: nothing but silence follows.
                manager.settimeout(4)
                with self.assertRaises(TimeoutError):
                    manager.recv(4096)
                node.kill()  # as the service manager does
        self.assertEqual(len(node.lines("job.stuck")), 1)
        heir = self.node("heir", node={"lease": "2s"}).ready()
        heir.wait_event("job.rescued", 20, job_type="sleep")  # its neighbour

    def test_a_handler_that_is_slow_to_yield_is_named_and_nothing_else(self):
        node = self.node().ready()
        self.enqueue("spin", payload='{"ms": 2000}')
        self.wait_finished(20)
        self.assertEqual(len(node.wait_lines("job.stuck")), 1)
        self.assertEqual(node.lines("node.stuck"), [])
        self.assertEqual(node.stop()[0], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
