#!/usr/bin/python3
"""Kills at every named moment of a photo's way, 20 each: the end is that of an unkilled run."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.kill_rounds import kills_at  # noqa: E402

Kills = kills_at({"generation.starting": 3, "image.decoding": 1, "image.before_rename": 1, "image.after_rename": 1, "generation.done": 3})

if __name__ == "__main__":
    unittest.main(verbosity=2)
