#!/usr/bin/python3
"""A fleet behind PgBouncer in transaction mode: with a way past it for LISTEN, and without."""
import pathlib
import statistics
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import Node, wait_for  # noqa: E402
from support.load import SLOTS, LoadTest  # noqa: E402
from support.servers import Pooler  # noqa: E402


class Pooled(LoadTest):
    @classmethod
    def build(cls):
        cls.pooler = Pooler(cls.folder, cls.primary).start()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        if hasattr(cls, "pooler"):
            cls.pooler.close()

    @classmethod
    def migrate_url(cls):
        return cls.pooler.url

    @classmethod
    def cli_env(cls):
        return {"ROWCREW_DATABASE_POOLED": "true"}

    @classmethod
    def start_node(cls, name):
        return Node(None, name, url=cls.pooler.url, queues={"default": SLOTS},
                    database={"pooled": True, "direct_url": cls.primary.url})

    def test_a_pooler_that_restarts(self):
        self.pooler.kill()
        self.pooler.start()
        self.back_at_rate("PgBouncer killed and started", time.monotonic())
        # Idle again, it must not have lost whoever is told of new jobs.
        for _ in range(3):
            self.ask("INSERT INTO rowcrew.job_queue (job_type, payload) VALUES ('sleep', '{\"ms\": 1}')")
            wait_for("a job of an idle fleet", lambda: self.ask("SELECT count(*) FROM rowcrew.job_queue WHERE status <> 'completed'")[0][0] == 0, 2)

    def test_the_server_behind_it_restarts(self):
        self.primary.stop("immediate")
        self.primary.start()
        self.back_at_rate("server behind PgBouncer restarted", time.monotonic())

    def test_the_server_behind_it_turns_read_only_and_back(self):
        self.addCleanup(self.writable_again)
        self.primary.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        self.primary.reload()
        wait_for("the nodes to notice", lambda: self.done_in(2.0) == 0, 30)
        self.writable_again()
        self.back_at_rate("read-only behind PgBouncer and back", time.monotonic())

    def test_waking_up_by_notification_past_it_and_by_polling_without(self):
        self.settle("before the pick-ups")
        listening = self.pick_up_ms()
        for node in self.nodes:
            node.wait_event("listener.ready")
            node.close()
        poller = Node(None, "poller", url=self.pooler.url, queues={"default": SLOTS}, database={"pooled": True})
        type(self).nodes = [poller]
        poller.ready()
        self.assertEqual(len(poller.wait_lines("listener.absent")), 1)
        polling = self.pick_up_ms()
        print(f"pick-up, median ms: {listening:.0f} with direct_url, {polling:.0f} by polling every 1 s", flush=True)
        self.assertLess(listening, 200)
        self.assertLess(polling, 1500)

    def pick_up_ms(self):
        waits = []
        for _ in range(9):
            job = self.ask("INSERT INTO rowcrew.job_queue (job_type) VALUES ('noop') RETURNING id")[0][0]
            self.wait_done(job)
            waits.append(self.ask("SELECT extract(epoch FROM started_at - created_at) * 1000 FROM rowcrew.job_queue "
                                  "WHERE id = %s", (job,))[0][0])
        self.ask("DELETE FROM rowcrew.job_queue WHERE job_type = 'noop'")
        return float(statistics.median(waits))

    def wait_done(self, job):
        wait_for("a job to end", lambda: self.ask(
            "SELECT status = 'completed' FROM rowcrew.job_queue WHERE id = %s", (job,))[0][0], 15)

    def writable_again(self):
        self.primary.ask("ALTER SYSTEM RESET default_transaction_read_only")
        self.primary.reload()


if __name__ == "__main__":
    unittest.main(verbosity=2)
