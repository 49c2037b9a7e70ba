#!/usr/bin/python3
"""Kills at every named moment of a photo's way, 20 each: the end is that of an unkilled run."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.kill_rounds import kills_at  # noqa: E402

Kills = kills_at({"finish.sending": 6, "finish.committed": 6, "email.sending": 3, "email.sent": 3, "webhook.sending": 3, "webhook.sent": 3})

if __name__ == "__main__":
    unittest.main(verbosity=2)
