#!/usr/bin/python3
"""The primary dies and its synchronous standby is promoted: the fleet moves over by itself."""
import contextlib
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import Node, wait_for  # noqa: E402
from support.load import SLOTS, LoadTest  # noqa: E402


class Failover(LoadTest):
    @classmethod
    def build(cls):
        cls.standby = cls.server("standby").follow(cls.primary)
        cls.primary.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        cls.primary.reload()
        wait_for("the standby to be synchronous", lambda: cls.primary.ask(
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")[0][0] == 1)
        cls.now = cls.primary

    @classmethod
    def node_url(cls):
        return (f"postgresql://app@127.0.0.1:{cls.primary.port},127.0.0.1:{cls.standby.port}/app")

    @classmethod
    def start_node(cls, name):
        # The audit's walk in pieces would find it, too, some time.
        return Node(None, name, url=cls.node_url(), queues={"default": SLOTS}, node={"audit_every": "1h"})

    @classmethod
    def producer_url(cls):
        return cls.node_url() + "?target_session_attrs=read-write"

    @classmethod
    def current(cls):
        return cls.now

    def test_a_promoted_standby(self):
        # Jobs that came past the triggers before the failover are what the audit has to find at once.
        with contextlib.closing(self.primary.connect("app")) as connection:
            connection.cursor().execute(
                "SET session_replication_role = replica; INSERT INTO rowcrew.job_queue (job_type, payload) "
                "SELECT 'sleep', '{\"ms\": 1}' FROM generate_series(1, 5)")
        self.primary.kill()
        self.standby.ask("ALTER SYSTEM RESET synchronous_standby_names")
        self.standby.promote()
        type(self).now = self.standby
        self.back_at_rate("promotion of the synchronous standby", time.monotonic())
        healed = lambda: [line for node in self.nodes for line in node.lines("hint.healed")]  # noqa: E731
        wait_for("each to be told of", lambda: len(healed()) >= 5)
        self.assertEqual(len(healed()), 5, healed())
        self.assertEqual(self.standby.ask("SELECT pg_is_in_recovery()"), [(False,)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
