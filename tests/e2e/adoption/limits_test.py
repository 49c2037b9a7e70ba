#!/usr/bin/python3
"""Limits and rates for a table of an application, on a fleet of real nodes: never above, and not idle below."""
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import adopt  # noqa: E402
from support.fleet import BIN, FleetTest, run, wait_for  # noqa: E402

MAP = """
table: renders
job_type: sleep
old_worker: none
states: {pending: new, processing: busy, completed: ok, failed: bad}
columns: {status: state, tenant: customer, started_at: began_at}
payload: jsonb_build_object('ms', ms)
"""


class AdoptedLimits(FleetTest):
    def setUp(self):
        super().setUp()
        self.db.execute("CREATE TABLE renders (id bigserial PRIMARY KEY, customer int, state text NOT NULL DEFAULT 'new', ms int NOT NULL, "
                        "filed_at timestamptz NOT NULL DEFAULT clock_timestamp(), began_at timestamptz)")
        adopt(self.db, "renders", text=MAP)

    def limit(self, *words):
        return run([BIN / "rowcrew", "--database", self.db.url, "limit", *words]).stdout

    def insert(self, count, customers, ms=20):
        self.db.execute("INSERT INTO renders (customer, ms) SELECT i %% %s, %s FROM generate_series(1, %s) i", (customers, ms, count))

    def states(self):
        return dict(self.db.execute("SELECT state, count(*) FROM renders GROUP BY 1"))

    def done(self):
        return self.db.value("SELECT count(*) FROM renders WHERE state = 'ok'")

    def watch(self, most, until):
        """Running jobs per customer, many times. Returns the most that was seen."""
        seen = 0
        while not until():
            for customer, count in self.db.execute("SELECT customer, count(*) FROM renders WHERE state = 'busy' GROUP BY 1"):
                self.assertLessEqual(count, most, f"customer {customer}")
                seen = max(seen, count)
            time.sleep(0.01)
        return seen

    def permits_out(self):
        return self.db.value("SELECT coalesce(sum(held), 0) - (SELECT coalesce(sum(n), 0) FROM rowcrew.limit_freed) FROM rowcrew.limit_key")

    def test_no_customer_has_more_jobs_running_than_the_rule_allows_while_a_node_dies(self):
        nodes = [self.node(f"n{i}", queues={"default": 8}, node={"lease": "5s"}) for i in range(3)]
        for node in nodes:
            node.ready().wait_event("table.served")
        self.limit("set", "customers", "--by", "tenant", "--running", "3")
        self.insert(900, 4)
        self.assertEqual(self.watch(3, lambda: self.done() >= 200), 3)
        nodes[0].kill()
        began = time.monotonic()
        self.watch(3, lambda: self.done() == 900)
        print(f"the rest of 900 jobs, twelve at a time, after a node was killed: {time.monotonic() - began:.1f} s")
        self.assertEqual(self.states(), {"ok": 900})
        wait_for("permits to be back", lambda: self.permits_out() == 0)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.adopted_conflict"), 0)

    def test_other_customers_start_at_once_behind_a_hundred_thousand_jobs_of_one(self):
        self.node(queues={"default": 10}).ready().wait_event("table.served")
        self.limit("set", "customers", "--by", "tenant", "--running", "1")
        self.insert(100000, 1, ms=0)
        wait_for("all of it to be behind its key", lambda: self.db.value("SELECT NOT EXISTS (SELECT FROM rowcrew.public_renders_ready)"), 60)
        lags = []
        for i in range(20):
            job = self.db.value("INSERT INTO renders (customer, ms) VALUES (%s, 0) RETURNING id", (1000 + i,))
            wait_for("it to start", lambda job=job: self.db.value("SELECT began_at IS NOT NULL FROM renders WHERE id = %s", (job,)), every=0.005)
            lags.append(float(self.db.value("SELECT 1000 * extract(epoch FROM began_at - filed_at) FROM renders WHERE id = %s", (job,))))
        lags.sort()
        print(f"other customers start after {lags[10]:.1f} ms (median), {lags[-1]:.1f} ms (longest)")
        self.assertLess(lags[10], 100)
        first = self.done()
        began = time.monotonic()
        wait_for("the one to go on", lambda: self.done() >= first + 1000, 30)
        print(f"the one goes on with {1000 / (time.monotonic() - began):.0f} jobs a second, one at a time")

    def test_a_lane_that_is_paused_starts_nothing_and_goes_on_when_it_is_resumed(self):
        node = self.node(queues={"default": 10}).ready()
        node.wait_event("table.served")
        self.limit("set", "provider", "--type", "sleep")
        rowcrew = [BIN / "rowcrew", "--database", self.db.url]
        run([*rowcrew, "pause", "key", "provider", "--reason", "they are down"])
        self.insert(50, 2, ms=1)
        wait_for("all to wait", lambda: self.db.value("SELECT count(*) FROM rowcrew.public_renders_limited") == 50)
        self.assertIn("key provider is paused", run([*rowcrew, "why", "public_renders:1"]).stdout)
        self.assertEqual(self.states(), {"new": 50})
        run([*rowcrew, "resume", "key", "provider"])
        wait_for("all to run", lambda: self.states() == {"ok": 50})

    def test_a_row_that_is_refused_is_named_in_the_log_while_its_neighbours_run(self):
        self.db.execute("ALTER TABLE renders ADD CHECK (state <> 'busy' OR ms <> 13)")
        self.limit("set", "all", "--running", "2")
        node = self.node(queues={"default": 10}).ready()
        node.wait_event("table.served")
        self.insert(20, 2, ms=1)
        bad = self.db.value("INSERT INTO renders (customer, ms) VALUES (1, 13) RETURNING id")
        self.insert(20, 2, ms=1)
        told = node.wait_event("job.unclaimable")
        self.assertEqual((told["table"], told["job"]), ("public_renders", f"public_renders:{bad}"))
        wait_for("the others to run", lambda: self.states() == {"ok": 40, "new": 1})


if __name__ == "__main__":
    unittest.main()
