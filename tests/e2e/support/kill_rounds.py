"""Rounds of one kill each: photos go in, the node dies at a named moment, another one finishes."""
import concurrent.futures
import itertools
import pathlib
import tempfile
import unittest

from support.fleet import wait_for
from support.studio import Receiver, Studio, drop_template, jpeg, png, zip_bytes

ROUNDS = 20
LANES = 8  # rounds side by side: each is mostly a wait for the dead node's lease
FILES = {
    "ada.jpg": jpeg(1), "bert.jpg": jpeg(2), "cleo.png": png(3),
    "torn.jpg": jpeg(4)[:9000], "zip.jpg": zip_bytes(),
}
_serial = itertools.count(1)


class KillRounds:
    def __init__(self):
        self.receiver = Receiver()
        self.unkilled = self.round(None, 0)

    def round(self, point, n):
        with Studio(self.receiver, f"round{next(_serial)}") as studio:
            for name, content in FILES.items():
                studio.drop_in(name, content)
            if point is not None:
                die = die_in_child if point.startswith("image.") else die_in_node
                die(studio, point, n)
            rescuer = studio.node("rescuer").ready()
            studio.wait_settled(len(FILES), 90)
            # A claim whose jobs had all ended when its node died is reaped, when that node's lease is over.
            wait_for("every claim to go", lambda: studio.db.value("SELECT count(*) FROM rowcrew.processing_jobs_claim") == 0, 30)
            code, _ = rescuer.stop()
            if code != 0:
                raise AssertionError(f"{point}: the rescuer ended with {code}\n{rescuer.tail()}")
            return studio.result()

    def check(self, test, point, passes):
        """Twenty kills, at the first pass of the point, the second, … and around again."""
        with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
            for result in lanes.map(lambda n: self.round(point, n % passes + 1), range(ROUNDS)):
                test.assertEqual(result, self.unkilled)
        print(f"{point}: {ROUNDS} kills, everything as in the unkilled run", flush=True)


def die_in_node(studio, point, n):
    victim = studio.node("victim", fault=f"{point}:{n}")
    code = victim.exited(60)
    if code != -9:
        raise AssertionError(f"{point}:{n}: the victim ended with {code}\n{victim.tail()}")


def die_in_child(studio, point, n):
    """rowcrew-image stops at the point, once; the node is killed then."""
    reached = pathlib.Path(tempfile.mktemp(prefix="rowcrew-reached-", dir=studio.home))
    victim = studio.node("victim", env={"ROWCREW_IMAGE_FAULT": f"pause@{point}",
                                        "ROWCREW_IMAGE_FAULT_FILE": str(reached)})
    try:
        wait_for(f"{point} to be reached", reached.exists, 60)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{victim.tail(60)}") from error
    victim.kill()


def kills_at(points):
    """Tests, one for each moment; `points` tells how many of its passes are certain to come."""
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

    for point, passes in points.items():
        add(point, passes)
    return Kills
