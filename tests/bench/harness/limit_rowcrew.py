"""limit-rowcrew: the product's own claim and finish statements in a bare libpq loop.

What stands between it and the fleet is what the node adds; what stands between it and limit-L1movecur is what the
statements do beyond a minimal queue. Installation, enqueuer and SQL are the fleet's (fleet.env); the worker is
rowcrew-bench-loop. It is a drain: when idle it polls, so W3, W4 and W7 of it say nothing.
LIMIT_ROWCREW_BEST, LIMIT_ROWCREW_C10: "procs connections batch".
"""
import os

from adapters.fleet import Fleet, _conf


class LimitRowcrew(Fleet):
    name = "limit-rowcrew"

    def __init__(self):
        super().__init__()
        self.configs = {"best": _conf("LIMIT_ROWCREW_BEST", "1 4 100"), "c10": _conf("LIMIT_ROWCREW_C10", "1 10 1")}

    def worker(self, ctx, db, conf):
        _, env = super().worker(ctx, db, conf)
        return [os.environ["ROWCREW_BENCH_BIN"] + "/rowcrew-bench-loop"], env


ADAPTERS = [LimitRowcrew()]
