#!/usr/bin/python3
"""The account's limit is reached in the middle of a batch, with eight slots racing."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.studio import Receiver, Studio, drop_template, jpeg  # noqa: E402

LIMIT = 10
GOOD = 18
PHOTOS = {f"p{n}.jpg": jpeg(n, (200, 250)) for n in range(GOOD)}
TORN = {f"torn{n}.jpg": jpeg(50 + n)[:9000] for n in range(3)}


class Limit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.receiver = Receiver()

    @classmethod
    def tearDownClass(cls):
        drop_template()

    def run_tier(self, tier):
        with Studio(self.receiver, tier, tier) as studio:
            studio.db.execute("UPDATE demo.tier SET monthly_limit = %s", (LIMIT,))
            node = studio.node(queues={"default": 8, "generation": 8}).ready()
            # By themselves: of files that are found together those with the lower inode come first, and behind the limit the
            # torn ones would be blocked like any other.
            for files in (TORN, PHOTOS):
                for name, content in files.items():
                    studio.drop_in(name, content)
                studio.wait_settled(len(TORN) if files is TORN else len(TORN) + len(PHOTOS), 60)
            node.stop()
            return studio.result(), dict(studio.db.execute("SELECT status, count(*) FROM demo.photo GROUP BY 1"))

    def test_a_blocking_tier_stops_exactly_at_its_limit_and_tells_it_once(self):
        result, photos = self.run_tier("free")
        self.assertEqual(photos, {"done": LIMIT, "failed": len(TORN), "blocked": GOOD - LIMIT})
        self.assertEqual(result["usage"], [(LIMIT, len(TORN), GOOD - LIMIT, 0, 0, LIMIT)])
        self.assertEqual(len(result["outputs"]), LIMIT)
        self.assertEqual(result["mails"], [("limit_reached", "sent", 1, 1), ("photo_failed", "sent", len(TORN), len(TORN)),
                                           ("photo_ready", "sent", LIMIT, LIMIT)])
        self.assertEqual(result["webhooks"], len(PHOTOS) + len(TORN))

    def test_an_overage_tier_goes_on_and_charges_what_is_above(self):
        result, photos = self.run_tier("creator")
        self.assertEqual(photos, {"done": GOOD, "failed": len(TORN)})
        self.assertEqual(result["usage"], [(GOOD, len(TORN), 0, GOOD - LIMIT, (GOOD - LIMIT) * 50, GOOD)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
