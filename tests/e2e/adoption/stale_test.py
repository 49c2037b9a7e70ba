#!/usr/bin/python3
"""The race of stale saves against a running fleet: no job runs twice, and every conflict is counted.

ROWCREW_STALE_ROUNDS: how many jobs are raced (1,000).
"""
import contextlib
import os
import pathlib
import random
import sys
import threading
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import TABLES, adopt, create_tables, words  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402

ROUNDS = int(os.environ.get("ROWCREW_STALE_ROUNDS", "1000"))
SAVERS = 4


class Saver(threading.Thread):
    """An ORM: reads a row, and later writes every column of it back."""

    def __init__(self, url, seed, rounds):
        super().__init__(daemon=True)
        self.url, self.random, self.rounds = url, random.Random(seed), rounds
        self.made, self.saved, self.error = 0, 0, None

    def run(self):
        try:
            with contextlib.closing(psycopg2.connect(self.url)) as connection:
                connection.autocommit = True
                cursor = connection.cursor()
                for n in range(self.rounds):
                    cursor.execute("INSERT INTO public.jobs (drive_file_id, drive_file_name, drive_folder_id, preset_name) "
                                   "VALUES ('f', 'n', 'd', 'p') RETURNING id, status, started_at, completed_at, retry_count")
                    row = cursor.fetchone()
                    # Now, while it is claimed, while it runs, or long after.
                    threading.Event().wait(self.random.choice((0, 0, 0.001, 0.003, 0.01)))
                    cursor.execute("UPDATE public.jobs SET status = %s, started_at = %s, completed_at = %s, retry_count = %s, "
                                   "output_url = 'saved' WHERE id = %s RETURNING status", (*row[1:], row[0]))
                    self.saved += 1
                    self.made += cursor.fetchone()[0] != "queued"
        except Exception as error:  # told to the test
            self.error = error


class Stale(FleetTest):
    def test_no_job_runs_twice_and_conflicts_counted_are_those_made(self):
        create_tables(self.db)
        self.db.execute("INSERT INTO rowcrew.event_subscription VALUES ('test', ARRAY['job.completed'], NULL)")
        adopt(self.db, "jobs")
        nodes = [self.node(f"n{i}", queues={"default": 20}).ready() for i in range(2)]
        seed = int(os.environ.get("ROWCREW_SEED", random.randrange(1 << 30)))
        print(f"seed {seed}")
        savers = [Saver(self.db.url, seed + i, ROUNDS // SAVERS) for i in range(SAVERS)]
        for saver in savers:
            saver.start()
        for saver in savers:
            saver.join(500)
            self.assertIsNone(saver.error)
        rounds = ROUNDS // SAVERS * SAVERS
        wait_for("every job to end", lambda: words(self.db, "jobs") == {"completed": rounds}, 120)
        made = sum(saver.made for saver in savers)
        counted = self.db.value("SELECT count(*) FROM rowcrew.adopted_conflict")
        print(f"{rounds} rounds, {made} stale saves over a running or finished job, {counted} conflicts counted")
        self.assertGreater(made, 0)
        self.assertEqual(counted, made)
        self.assertEqual(self.db.execute("SELECT count(*), count(DISTINCT job_key) FROM rowcrew.job_event"), [(rounds, rounds)])
        self.assertEqual(self.db.value("SELECT count(*) FROM jobs WHERE retry_count <> 1 OR output_url <> 'saved' OR completed_at IS NULL"), 0)
        for node in nodes:
            self.assertEqual(node.stop()[0], 0, node.tail())
        self.assertEqual(self.db.execute("SELECT sum(started), sum(completed), sum(claim_lost) FROM rowcrew.node_stat"), [(rounds, rounds, 0)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
