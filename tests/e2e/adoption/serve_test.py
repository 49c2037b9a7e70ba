#!/usr/bin/python3
"""Five applications' tables beside each other under live inserts: each job runs exactly once.

ROWCREW_ADOPTED_JOBS: how many jobs in all (5,000).
"""
import contextlib
import os
import pathlib
import sys
import threading
import time
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import NAMES, TABLES, adopt, create_tables, map_text, words  # noqa: E402
from support.fleet import BIN, FleetTest, run, wait_for  # noqa: E402

JOBS = int(os.environ.get("ROWCREW_ADOPTED_JOBS", "5000"))
OLD_CLAIM = ("UPDATE shop.background_jobs SET state = 'running', locked_at = now(), locked_by = 'old' "
             "WHERE id = (SELECT id FROM shop.background_jobs WHERE state = 'queued' "
             "ORDER BY priority, id LIMIT 1 FOR UPDATE SKIP LOCKED) AND state = 'queued' RETURNING id")


class OldWorker(threading.Thread):
    """The worker that the Rails application had before: it checks the status, so it may go on."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.stopping, self.ran, self.error = url, threading.Event(), [], None

    def run(self):
        try:
            with contextlib.closing(psycopg2.connect(self.url)) as connection:
                connection.autocommit = True
                cursor = connection.cursor()
                while not self.stopping.is_set():
                    cursor.execute(OLD_CLAIM)
                    row = cursor.fetchone()
                    if row is None:
                        self.stopping.wait(0.005)
                        continue
                    self.ran.append(row[0])
                    cursor.execute("UPDATE shop.background_jobs SET state = 'done', locked_at = NULL, locked_by = 'old' "
                                   "WHERE id = %s AND state = 'running'", row)
        except Exception as error:  # told to the test
            self.error = error


class Producer(threading.Thread):
    """Inserts into one table in statements of 1 to 50 rows."""

    def __init__(self, url, sql, count):
        super().__init__(daemon=True)
        self.url, self.sql, self.count, self.error = url, sql, count, None

    def run(self):
        try:
            with contextlib.closing(psycopg2.connect(self.url)) as connection:
                connection.autocommit = True
                done, size = 0, 1
                while done < self.count:
                    size = min(size % 50 + 1, self.count - done)
                    connection.cursor().execute(self.sql, (done + 1, done + size))
                    done += size
        except Exception as error:
            self.error = error


class Serve(FleetTest):
    def setUp(self):
        super().setUp()
        create_tables(self.db)

    def test_each_job_of_five_tables_runs_exactly_once(self):
        self.db.execute("INSERT INTO rowcrew.event_subscription VALUES ('test', ARRAY['job.completed'], NULL)")
        share = JOBS // len(TABLES)
        early = share // 4
        for name, table in TABLES.items():
            self.db.execute(table[5], (1_000_001, 1_000_000 + early))  # what waits before the adoption
        nodes = [self.node(f"n{i}", queues={"default": 50}, log={"format": "json", "level": "warning"}) for i in range(2)]
        for name in TABLES:
            adopt(self.db, name)
        old = OldWorker(self.db.url)
        producers = [Producer(self.db.url, table[5], share - early) for table in TABLES.values()]
        for thread in [old, *producers]:
            thread.start()
        began = time.monotonic()
        for producer in producers:
            producer.join(600)
            self.assertIsNone(producer.error)

        def all_done():
            return all(words(self.db, name) == {TABLES[name][4]: share} for name in TABLES)

        wait_for("every job to end", all_done, 300, every=0.2)
        took = time.monotonic() - began
        old.stopping.set()
        old.join(30)
        self.assertIsNone(old.error)
        print(f"{share * len(TABLES)} jobs of {len(TABLES)} tables in {took:.1f} s, {len(old.ran)} of them by the old worker")
        for name, table in TABLES.items():
            events = self.db.execute("SELECT count(*), count(DISTINCT job_key) FROM rowcrew.job_event WHERE job_table = %s", (NAMES[name],))
            theirs = len(old.ran) if name == "rails" else 0
            self.assertEqual(events, [(share - theirs, share - theirs)], name)
        self.assertEqual(len(set(old.ran)), len(old.ran))
        # Nobody ran what another had.
        self.assertEqual(self.db.value(
            "SELECT count(*) FROM rowcrew.job_event WHERE job_table = 'shop_background_jobs' AND job_key = ANY (%s)",
            ([str(i) for i in old.ran],)), 0)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.adopted_conflict"), 0)
        self.assertIn("shop_background_jobs", run([BIN / "rowcrew", "--database", self.db.url, "status"]).stdout)
        # The documents' own questions.
        self.assertEqual(self.db.value("SELECT count(*) FROM realign.\"ProcessingJob\" WHERE status = 'COMPLETED'"), share)
        self.assertEqual(self.db.execute(
            "SELECT preset_name, count(*), avg(processing_time_ms) IS NOT NULL FROM jobs WHERE status = 'completed' "
            "AND created_at > now() - interval '7 days' GROUP BY preset_name"), [("portrait_pro", share, True)])
        for node in nodes:
            self.assertEqual(node.stop()[0], 0, node.tail())
        started, completed, lost = self.db.execute("SELECT sum(started), sum(completed), sum(claim_lost) FROM rowcrew.node_stat")[0]
        self.assertEqual((started, completed, lost), (share * 5 - len(old.ran), share * 5 - len(old.ran), 0))
        for name in TABLES:
            for companion in ("ready", "parked", "claim", "job"):
                if (name, companion) != ("rails", "ready"):  # the old worker's hints lie there until a claim passes by
                    self.assertEqual(self.db.value(f"SELECT count(*) FROM rowcrew.{NAMES[name]}_{companion}"), 0, f"{name} {companion}")

    def test_a_resting_fleet_is_woken_by_an_insert(self):
        adopt(self.db, "jobs")
        node = self.node("node").ready()
        asleep = ("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted AND objsubid = 1 "
                  "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND objid = (7126300141::bigint & 4294967295)::oid")
        for n in range(1, 4):
            wait_for("the fleet to rest", lambda: self.db.value(asleep) == 1)
            began = time.monotonic()
            self.db.execute(TABLES["jobs"][5], (n, n))
            wait_for("the job to end", lambda: words(self.db, "jobs") == {"completed": n}, every=0.005)
            self.assertLess(time.monotonic() - began, 2)  # a poll or a heartbeat would take longer
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_a_running_job_is_cancelled_by_table_and_key(self):
        adopt(self.db, "jobs", text=map_text("jobs").replace("job_type: noop", "job_type: sleep").replace(
            "payload: jsonb_build_object('file', drive_file_id, 'preset', preset_name)", "payload: jsonb_build_object('ms', 600000)"))
        node = self.node("node").ready()
        self.db.execute(TABLES["jobs"][5], (1, 2))
        wait_for("the jobs to run", lambda: words(self.db, "jobs") == {"processing": 2})
        for (key,) in self.db.execute("SELECT id::text FROM jobs"):
            told = run([BIN / "rowcrew", "--database", self.db.url, "cancel", f"public_jobs:{key}", "--reason", "enough"])
            self.assertEqual(told.stdout, "asked: a node ends it\n")
        wait_for("the jobs to end", lambda: words(self.db, "jobs") == {"cancelled": 2})
        self.assertEqual(self.db.value("SELECT count(*) FROM jobs WHERE error_message LIKE 'cancelled by %: enough'"), 2)
        wait_for("the requests to go", lambda: self.db.value("SELECT count(*) FROM rowcrew.cancel_request") == 0)
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_a_killed_nodes_jobs_run_elsewhere(self):
        table = TABLES["jobs"]
        adopt(self.db, "jobs", text=map_text("jobs").replace("job_type: noop", "job_type: sleep").replace(
            "payload: jsonb_build_object('file', drive_file_id, 'preset', preset_name)", "payload: jsonb_build_object('ms', 600000)"))
        first = self.node("first", node={"lease": "2s"}).ready()
        self.db.execute(table[5], (1, 5))
        wait_for("five jobs to run", lambda: words(self.db, "jobs") == {"processing": 5})
        adopt(self.db, "jobs", "--repair")  # from now on they are no-ops
        first.kill()
        self.node("second", node={"lease": "2s"}).ready()
        wait_for("the jobs to be rescued and completed", lambda: words(self.db, "jobs") == {"completed": 5}, 60)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_attempt WHERE outcome = 'crashed'"), 5)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.adopted_conflict"), 0)

    def test_a_table_whose_column_was_renamed_is_held_alone_and_mended(self):
        adopt(self.db, "jobs")
        adopt(self.db, "django")
        node = self.node("node", node={"lease": "3s"}).ready()
        self.db.execute(TABLES["jobs"][5], (1, 3))
        self.db.execute(TABLES["django"][5], (1, 3))
        wait_for("both tables to be served", lambda: words(self.db, "jobs") == {"completed": 3} and words(self.db, "django") == {"completed": 3})
        self.db.execute("ALTER TABLE jobs RENAME status TO state")
        self.db.execute("INSERT INTO jobs (drive_file_id, drive_file_name, drive_folder_id, preset_name) VALUES ('a', 'a', 'a', 'a')")
        wait_for("the table to be held", lambda: self.db.execute("SELECT hold_reason FROM rowcrew.adopted_table WHERE name = 'public_jobs'")
                 == [("column status was renamed to state",)], 40)
        self.db.execute(TABLES["django"][5], (4, 6))
        wait_for("the other to be served on", lambda: words(self.db, "django") == {"completed": 6})
        text = map_text("jobs").replace("status: status", "status: state")
        adopt(self.db, "jobs", "--repair", text=text)
        wait_for("the mended table to be served", lambda: self.db.execute("SELECT DISTINCT state, count(*) FROM jobs GROUP BY 1") == [("completed", 4)])
        self.assertEqual(node.stop()[0], 0, node.tail())


if __name__ == "__main__":
    unittest.main(verbosity=2)
