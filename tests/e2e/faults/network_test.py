#!/usr/bin/python3
"""Connections that die without a word, and a primary that turns read-only and back."""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import wait_for  # noqa: E402
from support.load import LoadTest  # noqa: E402
from support.proxy import Proxy  # noqa: E402


class Network(LoadTest):
    @classmethod
    def build(cls):
        cls.proxy = Proxy(cls.primary.socket_url)
        cls.proxy.__enter__()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        if hasattr(cls, "proxy"):
            cls.proxy.__exit__()

    @classmethod
    def node_url(cls):
        return cls.proxy.url

    def test_sixty_seconds_without_a_word(self):
        self.addCleanup(self.proxy.restore)
        self.proxy.black_hole()
        begin = time.monotonic()
        wait_for("a minute to pass", lambda: time.monotonic() - begin > 60, 70, every=0.2)
        self.assertEqual(self.done_in(5.0), 0)
        self.proxy.restore()
        self.back_at_rate("half open for 60 s", time.monotonic())

    def test_old_connections_go_silent_while_new_ones_work(self):
        self.proxy.forget()
        self.back_at_rate("half-open connections, new ones work", time.monotonic())
        self.assertEqual([node.lines("lease.stopping") for node in self.nodes], [[], []])

    def test_a_primary_turned_read_only_and_back(self):
        failed_before = self.failures()
        self.addCleanup(self.writable_again)
        self.primary.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        self.primary.reload()
        wait_for("the nodes to notice", lambda: self.done_in(2.0) == 0, 30)
        # Whoever writes notifies elsewhere: the listeners let go of it, too.
        for node in self.nodes:
            node.wait_event("listener.lost", msg="the server has become read-only")
        begin = time.monotonic()
        wait_for("eight seconds to pass", lambda: time.monotonic() - begin > 8, 10)
        self.writable_again()
        self.back_at_rate("read-only and back", time.monotonic())
        self.assertEqual(self.failures(), failed_before)

    def failures(self):
        # What waited for a slot and went back is no failure.
        return self.ask("SELECT count(*) FROM rowcrew.job_attempt WHERE outcome <> 'released'")[0][0]

    def writable_again(self):
        self.primary.ask("ALTER SYSTEM RESET default_transaction_read_only")
        self.primary.reload()


if __name__ == "__main__":
    unittest.main(verbosity=2)
