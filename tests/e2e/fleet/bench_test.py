#!/usr/bin/python3
"""rowcrew bench on a small number of jobs: its figures, what it refuses, and that nothing stays behind."""
import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, FleetTest, run  # noqa: E402

TRACES = ("job_queue", "job_queue_ready", "job_queue_parked", "job_queue_claim", "node", "node_stat")


class Bench(FleetTest):
    def bench(self, *args, check=True):
        return run([BIN / "rowcrew", "--database", self.db.url, "bench", *args], check=check)

    def figures(self, *args):
        return json.loads(self.bench(*args, "--json").stdout)

    def traces(self):
        left = {table: self.db.value(f"SELECT count(*) FROM rowcrew.{table}") for table in TRACES}
        left["bench_bare"] = self.db.value("SELECT count(*) FROM pg_class WHERE relname = 'bench_bare'")
        return {table: rows for table, rows in left.items() if rows}

    def test_a_drain_runs_every_job_once_and_leaves_nothing(self):
        found = self.figures("drain", "--jobs", "300", "--slots", "20", "--batch", "100")
        self.assertEqual((found["jobs"], found["executions"]), (300, 300))
        for key in ("jobs_per_s", "enqueued_per_s", "worker_cpu_ms_per_1000", "wal_bytes_per_job"):
            self.assertGreater(found[key], 0, key)
        self.assertEqual(self.traces(), {})

    def test_latency_and_steady_tell_percentiles(self):
        for mode, rate, jobs in (("latency", "50", 50), ("steady", "300", 300)):
            found = self.figures(mode, "--rate", rate, "--seconds", "1")
            self.assertEqual((found["jobs"], found["executions"]), (jobs, jobs))
            self.assertLessEqual(found["start_p50_ms"], found["start_p99_ms"])
            self.assertLessEqual(found["start_p99_ms"], found["start_max_ms"])
            self.assertLess(found["start_p50_ms"], 1000, "an idle node hears of its jobs")
        self.assertEqual(self.traces(), {})

    def test_enqueue_stands_beside_a_bare_table(self):
        found = self.figures("enqueue", "--jobs", "200", "--connections", "2", "--batch", "50")
        for key in ("single", "bulk"):
            self.assertAlmostEqual(found[f"{key}_ratio"], found[f"{key}_per_s"] / found[f"{key}_bare_per_s"], places=2)
        self.assertEqual(self.traces(), {})

    def test_the_url_may_come_from_the_environment(self):
        environment = {"PATH": os.environ["PATH"], "ROWCREW_DATABASE_URL": self.db.url}
        for mode in (("drain", "--jobs", "20"), ("steady", "--rate", "100", "--seconds", "1"), ("enqueue", "--jobs", "20", "--connections", "1")):
            with self.subTest(mode=mode[0]):
                self.assertIn("jobs/s", run([BIN / "rowcrew", "bench", *mode], env=environment).stdout)
        self.assertEqual(self.traces(), {})

    def test_people_get_lines(self):
        text = self.bench("drain", "--jobs", "20").stdout
        self.assertRegex(text, r"(?m)^drained, jobs/s +[\d,]+$")
        self.assertRegex(text, r"(?m)^statements per job +([\d.]+|-)$")

    def test_other_jobs_are_neither_disturbed_nor_counted(self):
        self.enqueue("later", 3)
        refused = self.bench("drain", "--jobs", "20", check=False)
        self.assertEqual(refused.returncode, 64)
        self.assertIn("job_queue holds other jobs", refused.stderr)
        self.assertEqual(self.figures("drain", "--jobs", "20", "--yes")["executions"], 20)
        self.assertEqual(self.db.execute("SELECT job_type, status, count(*) FROM rowcrew.job_queue GROUP BY 1, 2"),
                         [("later", "pending", 3)])

    def test_what_a_killed_run_left_is_deleted_by_the_next(self):
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, queue) VALUES ('bench', 'bench')")
        self.db.execute("CREATE TABLE rowcrew.bench_bare ()")
        self.assertEqual(self.figures("drain", "--jobs", "20")["executions"], 20)
        self.assertEqual(self.traces(), {})

    def test_a_database_without_the_schema_is_refused_in_a_sentence(self):
        self.db.execute("DROP SCHEMA rowcrew CASCADE")
        refused = self.bench("drain", check=False)
        self.assertEqual(refused.returncode, 78)
        self.assertIn("run: rowcrew migrate", refused.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
