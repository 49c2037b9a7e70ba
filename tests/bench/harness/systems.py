"""Systems beside the harness's own.

limit-rowcrew   the product's own claim and finish statements in a bare libpq loop (rowcrew-bench-loop). What stands
                between it and the fleet is what the node adds; between it and limit-L1movecur, what the statements do
                beyond a minimal queue. When idle it polls: its W3, W4 and W7 say nothing.
fleet-prefetch  the fleet as it is by default, also where others run ten jobs at a time without prefetch.

Installation, enqueuer and SQL are the fleet's (fleet.env). LIMIT_ROWCREW_BEST, LIMIT_ROWCREW_C10: "procs connections batch".
"""
import os

from adapters.fleet import Fleet, _conf


class LimitRowcrew(Fleet):
    name = "limit-rowcrew"

    def __init__(self):
        super().__init__()
        self.configs = {"best": _conf("LIMIT_ROWCREW_BEST", "1 2 500"), "c10": _conf("LIMIT_ROWCREW_C10", "1 1 10")}

    def worker(self, ctx, db, conf):
        _, env = super().worker(ctx, db, conf)
        return [os.environ["ROWCREW_BENCH_BIN"] + "/rowcrew-bench-loop"], env


class FleetPrefetch(Fleet):
    name = "fleet-prefetch"
    by_default = False

    def __init__(self):
        super().__init__()
        self.configs["c10"] = {**self.configs["c10"], "batch": 500}


ADAPTERS = [LimitRowcrew(), FleetPrefetch()]
