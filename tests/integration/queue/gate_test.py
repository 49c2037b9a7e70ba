#!/usr/bin/python3
"""The sleeper gate on a real server: who notifies, what keeps the sleeper awake, and that no wake-up is lost.

The sleeper here says to the server what a node's leader says (sql/queries/gate); tests/model/gate.pml
searches the interleavings that a server cannot be made to show.
"""
import concurrent.futures
import contextlib
import os
import pathlib
import random
import sys
import threading
import time
import unittest

import psycopg2
import psycopg2.errors

SOURCE = pathlib.Path(os.environ["ROWCREW_SOURCE"])
sys.path.insert(0, str(SOURCE / "tests/e2e"))
from support.fleet import Database, wait_for  # noqa: E402

GATE = {name: (SOURCE / f"sql/queries/gate/{name}.sql").read_text() for name in ("sleep", "drained", "wake")}
WRITING = 7126300142  # producers hold it shared until the end of their transactions
INSERT = "INSERT INTO rowcrew.job_queue (job_type) VALUES ('noop')"
DUE = "SELECT count(*) FROM rowcrew.job_queue_ready"
ROUNDS = 200
PRODUCERS = 3


def session(db, autocommit=True):
    connection = psycopg2.connect(db.url)
    connection.autocommit = autocommit
    return connection


def run(connection, sql, *args):
    with connection.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchall()[0][0] if cursor.description else None


class Sleeper:
    """The gate connection: executes nothing but these."""

    def __init__(self, db):
        self.connection = session(db)
        run(self.connection, "LISTEN rowcrew_wake")

    def shut(self):
        return run(self.connection, GATE["sleep"])

    def drained(self):
        return run(self.connection, GATE["drained"])

    def due(self):
        return run(self.connection, DUE)

    def open(self):
        run(self.connection, GATE["wake"])

    def lie_down(self):
        """Whether it may sleep: nobody writes, nothing is due."""
        assert wait_for("the gate", self.shut, 5)
        return self.drained() and self.due() == 0

    def hears(self, db):
        """Whether anything was notified up to now: notifications come in the order of their commits."""
        other = session(db)
        run(other, "SELECT pg_notify('rowcrew_wake', 'mark')")
        other.close()
        payloads = []

        def mark():
            self.connection.poll()
            payloads.extend(n.payload for n in self.connection.notifies)
            self.connection.notifies.clear()
            return "mark" in payloads

        wait_for("the mark", mark, 10)
        return payloads[:payloads.index("mark")] != []

    def close(self):
        self.connection.close()


class Gate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.db = Database()

    @classmethod
    def tearDownClass(cls):
        cls.db.drop()

    def setUp(self):
        self.db.execute("DELETE FROM rowcrew.job_queue")
        self.db.execute("DELETE FROM rowcrew.job_queue_ready")
        self.sleeper = Sleeper(self.db)
        self.sessions = []

    def tearDown(self):
        for connection in self.sessions:
            connection.close()
        self.sleeper.close()

    def session(self, autocommit=True):
        self.sessions.append(session(self.db, autocommit))
        return self.sessions[-1]

    def test_while_nobody_sleeps_nothing_is_notified(self):
        run(self.session(), INSERT)
        self.assertFalse(self.sleeper.hears(self.db))

    def test_while_somebody_sleeps_whatever_makes_a_job_due_notifies(self):
        job = self.session()
        run(job, "INSERT INTO rowcrew.job_queue (job_type, scheduled_at) VALUES ('noop', now() + interval '1 hour')")
        self.assertTrue(self.sleeper.lie_down())
        ways = {
            "insert": INSERT,
            "insert into the other table": "INSERT INTO rowcrew.processing_jobs (type) VALUES ('x')",
            "enqueue": "SELECT rowcrew.enqueue('noop', '{}')",
            "a person's update": "UPDATE rowcrew.job_queue SET scheduled_at = now() - interval '1 s' WHERE scheduled_at > now()",
            "promotion": "INSERT INTO rowcrew.job_queue_ready (run_at, id, priority, queue) "
                         "SELECT now(), id, priority, queue FROM rowcrew.job_queue LIMIT 1",
            "rescue": "UPDATE rowcrew.job_queue SET status = 'retrying', crashes = 1 WHERE job_type = 'noop'",
            "due before the sleeper's timer": "INSERT INTO rowcrew.job_queue (job_type, scheduled_at) "
                                              "VALUES ('noop', now() + interval '5 s')",
        }
        for name, sql in ways.items():
            run(job, sql)
            self.assertTrue(self.sleeper.hears(self.db), name)

    def test_one_that_wrote_before_keeps_the_sleeper_up_and_the_probe_sees_its_row(self):
        long = self.session(autocommit=False)
        run(long, INSERT)
        self.assertTrue(self.sleeper.shut())
        self.assertFalse(self.sleeper.drained())
        self.assertEqual(self.sleeper.due(), 0)
        long.commit()
        self.assertTrue(self.sleeper.drained())
        self.assertEqual(self.sleeper.due(), 1)
        self.assertFalse(self.sleeper.hears(self.db))  # nobody told: the drain did it

    def test_while_it_drains_every_other_enqueue_notifies(self):
        long = self.session(autocommit=False)
        run(long, INSERT)
        self.assertTrue(self.sleeper.shut())
        for _ in range(5):
            self.assertFalse(self.sleeper.drained())
            run(self.session(), INSERT)
            self.assertTrue(self.sleeper.hears(self.db))

    def test_a_rollback_lets_the_sleeper_sleep_and_notifies_nobody(self):
        long = self.session(autocommit=False)
        run(long, INSERT)
        self.assertTrue(self.sleeper.shut())
        run(long, INSERT)  # this one would notify
        long.rollback()
        self.assertTrue(self.sleeper.drained())
        self.assertEqual(self.sleeper.due(), 0)
        self.assertFalse(self.sleeper.hears(self.db))

    def test_a_savepoint_takes_its_row_and_its_lock_with_it_and_leaves_the_outer_ones(self):
        long = self.session(autocommit=False)
        run(long, "SAVEPOINT s")
        run(long, INSERT)
        self.assertFalse(self.sleeper.drained())
        run(long, "ROLLBACK TO s")
        self.assertTrue(self.sleeper.drained())
        run(long, INSERT)
        run(long, "SAVEPOINT s")
        run(long, INSERT)
        run(long, "ROLLBACK TO s")
        self.assertFalse(self.sleeper.drained())
        long.rollback()
        # Written before the gate was shut, in a savepoint that is gone; and again after it: this notifies.
        other = self.session(autocommit=False)
        run(other, "SAVEPOINT s")
        run(other, INSERT)
        run(other, "ROLLBACK TO s")
        self.assertTrue(self.sleeper.lie_down())
        run(other, INSERT)
        other.commit()
        self.assertTrue(self.sleeper.hears(self.db))

    def test_a_prepared_transaction_keeps_the_sleeper_up_until_somebody_ends_it(self):
        for end, due in (("COMMIT", 1), ("ROLLBACK", 0)):
            producer = self.session()
            run(producer, "BEGIN")
            run(producer, INSERT)
            run(producer, "PREPARE TRANSACTION 'gate'")
            producer.close()
            self.assertTrue(self.sleeper.shut())
            self.assertFalse(self.sleeper.drained())
            run(self.session(), f"{end} PREPARED 'gate'")
            self.assertTrue(self.sleeper.drained())
            self.assertEqual(self.sleeper.due(), due)
            self.sleeper.open()
            self.db.execute("DELETE FROM rowcrew.job_queue_ready")

    def test_while_somebody_sleeps_only_a_producer_that_does_not_notify_may_prepare(self):
        self.assertTrue(self.sleeper.lie_down())
        producer = self.session()
        run(producer, "BEGIN")
        run(producer, INSERT)
        with self.assertRaises(psycopg2.errors.FeatureNotSupported):
            run(producer, "PREPARE TRANSACTION 'gate'")
        run(producer, "SET rowcrew.notify = off")
        run(producer, "BEGIN")
        run(producer, INSERT)
        run(producer, "PREPARE TRANSACTION 'gate'")
        run(producer, "COMMIT PREPARED 'gate'")
        self.assertFalse(self.sleeper.hears(self.db))

    def test_a_session_that_others_use_after_a_producer_holds_nothing(self):
        pooled = self.session()
        for sleeps in (False, True):
            if sleeps:
                self.assertTrue(self.sleeper.lie_down())
            for script in ((INSERT,), ("BEGIN", INSERT, "ROLLBACK"), ("BEGIN", INSERT, "SAVEPOINT s", INSERT, "ROLLBACK TO s", "COMMIT")):
                for sql in script:
                    run(pooled, sql)
                self.assertEqual(run(pooled, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"), 0)
            run(pooled, "BEGIN")
            run(pooled, INSERT)
            with contextlib.suppress(psycopg2.Error):
                run(pooled, "SELECT 1 / 0")
            run(pooled, "ROLLBACK")
            self.assertEqual(run(pooled, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"), 0)
            self.db.execute("DELETE FROM rowcrew.job_queue_ready")

    def test_the_session_that_holds_the_gate_is_blind_to_itself_so_it_must_not_enqueue(self):
        self.assertTrue(self.sleeper.lie_down())
        run(self.sleeper.connection, INSERT)
        self.assertFalse(self.sleeper.hears(self.db))
        self.assertEqual(self.sleeper.due(), 1)

    def test_a_probe_in_the_statement_that_waited_for_the_writers_sees_less_than_one_after_it(self):
        long = self.session(autocommit=False)
        run(long, INSERT)
        found = []
        waiting = self.session()
        pid = run(waiting, "SELECT pg_backend_pid()")
        together = threading.Thread(target=lambda: found.append(run(
            waiting, f"SELECT ({DUE}) FROM (SELECT pg_advisory_lock(%s)) AS drained", WRITING)))
        together.start()
        wait_for("the wait", lambda: self.db.value(
            "SELECT wait_event FROM pg_stat_activity WHERE pid = %s", (pid,)) == "advisory", 10)
        long.commit()
        together.join()
        self.assertEqual(found, [0])
        self.assertEqual(run(waiting, DUE), 1)

    def produce(self, connection):
        """A transaction of some shape; it may end in any way."""
        time.sleep(random.random() * 0.004)
        run(connection, "BEGIN")
        if random.random() < 0.3:
            run(connection, "SAVEPOINT s")
            run(connection, INSERT)
            run(connection, "ROLLBACK TO s")
        run(connection, INSERT)
        time.sleep(random.random() * 0.004)
        end = random.choice(["COMMIT", "COMMIT", "ROLLBACK", "PREPARE"])
        if end != "PREPARE":
            run(connection, end)
            return
        name = f"storm {connection.get_backend_pid()}"
        with contextlib.suppress(psycopg2.errors.FeatureNotSupported):
            run(connection, f"PREPARE TRANSACTION '{name}'")
            run(connection, f"COMMIT PREPARED '{name}'")
            return
        run(connection, "ROLLBACK")

    def rounds(self, drained):
        """How often the sleeper slept, and beside how many due jobs for good. It has no timer here."""
        connections = [self.session() for _ in range(PRODUCERS)]
        slept = lost = 0
        with concurrent.futures.ThreadPoolExecutor(PRODUCERS) as threads:
            for _ in range(ROUNDS):
                writing = [threads.submit(self.produce, connection) for connection in connections]
                time.sleep(random.random() * 0.006)
                self.assertTrue(wait_for("the gate", self.sleeper.shut, 10, every=0.0005))
                wait_for("the writers", drained, 10, every=0.001)
                if self.sleeper.due() == 0:
                    slept += 1
                    concurrent.futures.wait(writing)
                    lost += not self.sleeper.hears(self.db) and self.sleeper.due() > 0
                self.sleeper.open()
                for future in writing:
                    future.result()
                self.sleeper.hears(self.db)
                self.db.execute("DELETE FROM rowcrew.job_queue_ready")
        return slept, lost

    def test_no_wake_up_is_lost_whenever_producers_come_and_however_they_end(self):
        slept, lost = self.rounds(self.sleeper.drained)
        print(f"slept {slept} times of {ROUNDS}, {lost} wake-ups lost")
        self.assertGreater(slept, ROUNDS // 20)
        self.assertEqual(lost, 0)

    def test_a_sleeper_that_does_not_wait_for_those_who_write_loses_wake_ups(self):
        _, lost = self.rounds(lambda: True)
        self.assertGreater(lost, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
