#!/usr/bin/python3
"""Kills in the middle of a retention walk: what was old is archived once, what lives stays, what is too old in the archive goes."""
import concurrent.futures
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import Database, Node, wait_for  # noqa: E402

ROUNDS = 20
LANES = 5
OLD, FRESH, LIVE = 900, 50, 50


# An id as rowcrew gave it so many days ago.
MADE = "(substr(rowcrew.id_at(clock_timestamp() - interval '{} days')::text, 1, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid"

# One of version 4 that lies beside those that are too young, as all but one in 36,000 do.
STRANGERS = "('fe' || substr(gen_random_uuid()::text, 3))::uuid"


def walk(fault, timeout_ms=3_600_000):
    db = Database()
    nodes = []
    try:
        db.execute("UPDATE rowcrew.retention_policy SET enabled = (name IN ('jobs', 'archive')), batch = 100")
        db.execute("UPDATE rowcrew.job_type SET timeout_ms = %s WHERE name = 'retention'", (timeout_ms,))
        db.execute("CREATE TABLE rowcrew.archive_2020m01 PARTITION OF rowcrew.archive FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')")
        db.execute("DO $$ BEGIN EXECUTE format('ALTER TABLE rowcrew.archive_2020m01 OWNER TO %I', "
                   "(SELECT relowner::regrole FROM pg_class WHERE oid = 'rowcrew.archive'::regclass)); END $$")
        db.execute("INSERT INTO rowcrew.archive (archived_at, policy, source, id, row) SELECT d::timestamptz, 'jobs', 'job_queue', n, '{}' "
                   "FROM unnest(ARRAY['2020-01-05', '2019-06-01']) d, generate_series(1, 50) n")
        db.execute("INSERT INTO rowcrew.job_queue (id, job_type, status, queue, completed_at) SELECT CASE n % 3 WHEN 0 THEN " + STRANGERS + " ELSE "
                   + MADE.format(91) + " END, 'old', 'completed', 'none', clock_timestamp() - interval '91 days' FROM generate_series(1, " + str(OLD) + ") n")
        db.execute("INSERT INTO rowcrew.job_queue (id, job_type, status, queue, completed_at) SELECT " + MADE.format(91) + ", 'fresh', 'failed', 'none', "
                   "clock_timestamp() - interval '89 days' FROM generate_series(1, %s)", (FRESH,))
        db.execute("INSERT INTO rowcrew.job_queue (id, job_type, queue, created_at) SELECT " + MADE.format(91) + ", 'live', 'none', "
                   "clock_timestamp() - interval '91 days' FROM generate_series(1, %s)", (LIVE,))
        db.execute("INSERT INTO rowcrew.job_queue (job_type) VALUES ('retention')")
        if fault:
            nodes.append(Node(db, "victim", fault=fault, node={"lease": "2s"}))
            code = nodes[0].exited(60)
            if code != -9:
                raise AssertionError(f"{fault}: the victim ended with {code}\n{nodes[0].tail()}")
        nodes.append(Node(db, "rescuer", node={"lease": "2s"}))
        wait_for("the walk to end", lambda: db.value("SELECT status FROM rowcrew.job_queue WHERE job_type = 'retention'") == "completed", 60)
        return {
            "left": db.execute("SELECT job_type, status, count(*) FROM rowcrew.job_queue GROUP BY 1, 2 ORDER BY 1, 2"),
            "archived": db.execute("SELECT policy, source, row ->> 'job_type', count(*), count(DISTINCT id) FROM rowcrew.archive GROUP BY 1, 2, 3"),
        }
    finally:
        for node in nodes:
            node.close()
        db.drop()


class RetentionCrash(unittest.TestCase):
    def test_a_kill_while_a_walk_of_many_turns_is_put_off_loses_and_doubles_nothing(self):
        # Shorter than a page may take: each turn is one page and a snooze.
        one_turn = walk(None)
        with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
            for result in lanes.map(lambda fault: walk(fault, 20_000), [
                    f"{point}:{n}" for point in ("retention.page", "finish.sending", "finish.committed") for n in (1, 4, 8)]):
                self.assertEqual(result, one_turn)

    def test_a_kill_between_two_pages_loses_and_doubles_nothing(self):
        unkilled = walk(None)
        self.assertEqual(unkilled["archived"], [("jobs", "job_queue", "old", OLD, OLD)])
        self.assertEqual(unkilled["left"], [("fresh", "failed", FRESH), ("live", "pending", LIVE), ("retention", "completed", 1)])
        with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
            for result in lanes.map(walk, [f"retention.page:{1 + n % 9}" for n in range(ROUNDS)]):
                self.assertEqual(result, unkilled)


if __name__ == "__main__":
    unittest.main(verbosity=2)
