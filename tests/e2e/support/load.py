"""A fleet under a steady load, and the question how soon it is back at its rate after a fault.

The rate is bounded by the nodes' slots, not by the machine: a job waits 150 ms. Its effect is a row that
a port writes in the transaction that ends the job, without any key that could hide a second one.
"""
import contextlib
import threading
import time
import unittest

import psycopg2

from support.fleet import BIN, Node, run, wait_for
from support.servers import Folder, Server

JOB_MS, SLOTS, NODES = 150, 8, 2
BACKLOG, BATCH = 200, 50
BACK_WITHIN = 15.0
SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.effect (job uuid NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX ON shop.effect (at);
INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop');
CREATE FUNCTION shop.sleep_ended(job_id uuid, ended jsonb) RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
  INSERT INTO shop.effect (job) SELECT job_id WHERE ended ->> 'status' = 'completed' $$;
UPDATE rowcrew.schedule SET enabled = false;
"""


class Producer(threading.Thread):
    """Keeps a backlog. What it was told is committed must be done in the end."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.stopping, self.committed = url, threading.Event(), set()

    def run(self):
        while not self.stopping.is_set():
            with contextlib.suppress(psycopg2.Error):
                connection = psycopg2.connect(self.url, connect_timeout=2)
                connection.autocommit = True
                try:
                    with connection.cursor() as cursor:
                        cursor.execute("SET statement_timeout = '5s'")
                        while not self.stopping.is_set():
                            self.fill(cursor)
                finally:
                    connection.close()
            self.stopping.wait(0.2)

    def fill(self, cursor):
        cursor.execute("SELECT count(*) FROM rowcrew.job_queue_ready")
        if cursor.fetchone()[0] >= BACKLOG:
            self.stopping.wait(0.05)
            return
        cursor.execute("INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'sleep', '{\"ms\": %s}' "
                       "FROM generate_series(1, %s) RETURNING id", (JOB_MS, BATCH))
        self.committed.update(row[0] for row in cursor.fetchall())

    def end(self):
        self.stopping.set()
        self.join(20)


class LoadTest(unittest.TestCase):
    """One server and one fleet for all tests of a class; each test ends with nothing left to do."""

    HBA = None

    @classmethod
    def setUpClass(cls):
        cls.folder = Folder()
        cls.servers, cls.nodes = [], []
        try:
            cls.primary = cls.server("primary", cls.HBA, cls.settings()).create()
            cls.build()
            run([BIN / "rowcrew", "--database", cls.migrate_url(), "migrate", "--roles=none"], env=cls.cli_env())
            cls.primary_as_owner(SCHEMA)
            for number in range(NODES):
                cls.nodes.append(cls.start_node(f"n{number}"))
            for node in cls.nodes:
                node.ready()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        for node in cls.nodes:
            node.close()
        for server in cls.servers:
            server.close()
        cls.folder.close()

    # What a class of tests may do otherwise.
    @classmethod
    def build(cls):
        """Whatever else has to stand before the fleet does."""

    @classmethod
    def settings(cls):
        """Of the primary, in postgresql.conf."""
        return ""

    @classmethod
    def node_url(cls):
        return cls.primary.url

    @classmethod
    def migrate_url(cls):
        return cls.primary.socket_url

    @classmethod
    def cli_env(cls):
        return None

    @classmethod
    def producer_url(cls):
        return cls.primary.socket_url

    @classmethod
    def current(cls):
        """The server that is asked what has happened."""
        return cls.primary

    @classmethod
    def start_node(cls, name):
        return Node(None, name, url=cls.node_url(), queues={"default": SLOTS})

    @classmethod
    def server(cls, name, hba=None, settings=""):
        made = Server(cls.folder, name, settings, hba)
        cls.servers.append(made)
        return made

    @classmethod
    def primary_as_owner(cls, sql):
        with contextlib.closing(cls.primary.connect("app", "app")) as connection:
            connection.cursor().execute(sql)

    def setUp(self):
        self.pids = [node.pid for node in self.nodes]
        self.producer = Producer(self.producer_url())
        self.producer.start()
        begin = time.monotonic()  # what ended before is no rate, and of the last fault the fleet may still be recovering
        wait_for("three seconds of work", lambda: time.monotonic() - begin > 3 and self.done_in(3.0) > 120, 3 + BACK_WITHIN)
        self.rate = self.done_in(3.0) / 3.0

    def tearDown(self):
        self.producer.end()
        if any(error for _, error in getattr(self._outcome, "errors", []) or []) or \
                getattr(getattr(self._outcome, "result", None), "failures", None):
            for node in self.nodes:
                print(f"--- {node.log_path.name}\n{node.tail(15)}")

    def ask(self, sql, args=None):
        return self.current().ask(sql, args, database="app")

    def done_in(self, seconds):
        """How many jobs ended in the last so many seconds; 0 while nobody can be asked."""
        with contextlib.suppress(psycopg2.Error):
            return self.ask("SELECT count(*) FROM shop.effect WHERE at > clock_timestamp() - %s * interval '1 s'",
                            (seconds,))[0][0]
        return 0

    def back_at_rate(self, what, since):
        """Waits until a whole second behind the fault had 90 % of the rate of before, in which time; checks nothing was lost."""
        wait_for(f"{what}: 90 % of {self.rate:.0f}/s",
                 lambda: time.monotonic() - since > 1 and self.done_in(1.0) >= 0.9 * self.rate, 60, every=0.1)
        took = time.monotonic() - since
        print(f"{what}: 90 % of {self.rate:.0f}/s after {took:.1f} s", flush=True)
        self.assertLessEqual(took, BACK_WITHIN, what)
        self.settle(what)

    def settle(self, what):
        self.producer.end()
        wait_for(f"{what}: every job to end", lambda: self.ask(
            "SELECT count(*) FROM rowcrew.job_queue WHERE status IN ('pending', 'processing', 'retrying')")[0][0] == 0,
            60, every=0.2)
        effects = dict(self.ask("SELECT job::text, count(*) FROM shop.effect GROUP BY 1"))
        states = dict(self.ask("SELECT id::text, status FROM rowcrew.job_queue"))
        self.assertEqual([job for job, n in effects.items() if n != 1], [], f"{what}: effects more than once")
        self.assertEqual(self.producer.committed - effects.keys(), set(), f"{what}: lost")
        self.assertEqual({job for job, status in states.items() if status != "completed"}, set(), what)
        self.assertEqual(states.keys(), effects.keys(), what)
        self.assertEqual([node.process.poll() for node in self.nodes], [None] * len(self.nodes), "a node ended")
        self.assertEqual([node.pid for node in self.nodes], self.pids)
        print(f"{what}: {len(effects)} jobs so far, each effect once, none lost", flush=True)
