#!/usr/bin/python3
"""A server that restarts, crashes, or loses its sessions, under a fleet that works."""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import wait_for  # noqa: E402
from support.load import LoadTest  # noqa: E402


class Restart(LoadTest):
    def restart(self, mode):
        self.primary.stop(mode)
        self.primary.start()
        return time.monotonic()

    def test_a_fast_restart(self):
        self.back_at_rate("fast restart", self.restart("fast"))

    def test_an_immediate_restart(self):
        self.back_at_rate("immediate restart", self.restart("immediate"))

    def test_a_server_that_is_killed(self):
        self.primary.kill()
        self.primary.start()
        self.back_at_rate("kill -9", time.monotonic())

    def test_every_backend_terminated_again_and_again(self):
        ended = 0
        for _ in range(5):
            wait_for("sessions to be there again", lambda: self.done_in(1.0) > 40, 15)
            ended += self.primary.terminate_backends()
        self.assertGreaterEqual(ended, 10)  # two a round: nodes keep no session that they do not use
        self.back_at_rate("pg_terminate_backend of all, five times", time.monotonic())


if __name__ == "__main__":
    unittest.main(verbosity=2)
