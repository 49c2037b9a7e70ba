#!/usr/bin/python3
"""Kills at every named moment of a photo's way, 20 each: the end is that of an unkilled run."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.kill_rounds import KillRounds  # noqa: E402
from support.studio import drop_template  # noqa: E402

# The moment, and how many of its passes are certain to come.
POINTS = {"finish.sending": 6, "finish.committed": 6, "email.sending": 3, "email.sent": 3, "webhook.sending": 3, "webhook.sent": 3}


class Kills(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rounds = KillRounds()

    @classmethod
    def tearDownClass(cls):
        drop_template()


def add(point, passes):
    def test(self):
        self.rounds.check(self, point, passes)
    setattr(Kills, "test_a_kill_at_" + point.replace(".", "_") + "_changes_no_result", test)


for moment, certain in POINTS.items():
    add(moment, certain)

if __name__ == "__main__":
    unittest.main(verbosity=2)
