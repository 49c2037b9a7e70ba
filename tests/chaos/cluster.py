"""A private PostgreSQL that is durable (fsync on), for tests in which processes die by force.

Import it first: it starts the server, names it to tests/e2e/support/fleet.py, and stops it at the end
of the program. ROWCREW_CHAOS=full asks for the full sizes (scripts/test --chaos).
"""
import atexit
import os
import pathlib
import subprocess
import sys

SOURCE = pathlib.Path(os.environ["ROWCREW_SOURCE"])
FULL = os.environ.get("ROWCREW_CHAOS") == "full"
sys.path.insert(0, str(SOURCE / "tests/e2e"))


def _server(verb, check=True):
    return subprocess.run([SOURCE / "scripts/private-pg.sh", verb, "chaos"], check=check, text=True,
                          stdout=subprocess.PIPE, timeout=120)


if _server("status", check=False).returncode != 0:
    _server("start")
    atexit.register(_server, "stop")
os.environ["ROWCREW_TEST_DATABASE_URL"] = _server("url").stdout.strip()


def size(small, full):
    """How many: `full` under ROWCREW_CHAOS=full."""
    return full if FULL else small
