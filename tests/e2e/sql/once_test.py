#!/usr/bin/python3
"""Effects inside the database happen exactly once, whenever a node or its connection dies."""
import concurrent.futures
import pathlib
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import wait_for  # noqa: E402
from support.shop import Shop, effects, enqueue, tries  # noqa: E402

ROUNDS = 10
LANES = 8  # rounds side by side: each is mostly a wait for the dead node's lease
JOBS = 12
FAST = {"lease": "2s", "reconcile_every": "500ms", "poll_every": "200ms"}


def round_of(entry, point, n):
    """The node dies at the n-th pass of the point, another one does the rest."""
    with Shop() as shop:
        enqueue(shop.db, entry, JOBS)
        victim = shop.node("victim", fault=f"{point}:{n}", node=FAST)
        code = victim.exited(60)
        if code != -9:
            raise AssertionError(f"{entry} {point}:{n}: the victim ended with {code}\n{victim.tail()}")
        before = effects(shop.db)[0]
        rescuer = shop.node("rescuer", node=FAST).ready()
        wait_for("every job to end", lambda: shop.db.unfinished() == 0, 60)
        wait_for("the dead node's claims to go", lambda: shop.db.value("SELECT count(*) FROM rowcrew.job_queue_claim") == 0, 30)
        rescuer.stop()
        ends = shop.db.execute("SELECT status, attempts FROM rowcrew.job_queue WHERE job_type <> 'noop' GROUP BY 1, 2")
        followers = shop.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE job_type = 'noop'")
        return (before, effects(shop.db), ends, followers, tries(shop.db),
                shop.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE crashes > 0"),
                shop.db.value("SELECT count(*) FROM rowcrew.job_queue_claim"))


class Kills(unittest.TestCase):
    def rounds(self, entry, point, passes):
        with concurrent.futures.ThreadPoolExecutor(LANES) as lanes:
            done = list(lanes.map(lambda n: round_of(entry, point, n % passes + 1), range(ROUNDS)))
        for _, counted, ends, followers, tried, _, claims in done:
            self.assertEqual(counted, (JOBS, JOBS))
            self.assertEqual(ends, [("completed", 1)])
            self.assertEqual(followers, JOBS if entry == "effect" else 0)
            self.assertGreaterEqual(tried, JOBS)
            self.assertEqual(claims, 0)
        undone = sum(tried for *_, tried, _, _ in done) - ROUNDS * JOBS
        print(f"{entry} {point}: {ROUNDS} kills, {ROUNDS * JOBS} effects once each, {undone} tries undone, "
              f"{sum(before for before, *_ in done)} done before the kills", flush=True)

    def test_a_kill_before_the_one_statement(self):
        self.rounds("buy", "tx.sending", 6)

    def test_a_kill_after_the_one_statement(self):
        self.rounds("buy", "tx.committed", 6)

    def test_a_kill_around_a_batch(self):
        self.rounds("buy_many", "tx.sending", 1)
        self.rounds("buy_many", "tx.committed", 1)

    def test_a_kill_in_a_transaction_with_a_result(self):
        for point in ("tx.fenced", "tx.worked", "tx.committed"):
            self.rounds("tell", point, 6)

    def test_a_kill_in_a_batch_with_results(self):
        for point in ("tx.fenced", "tx.worked"):
            self.rounds("tell_many", point, 1)

    def test_a_kill_in_a_handler_s_closure(self):
        for point in ("tx.fenced", "tx.worked", "tx.committed"):
            self.rounds("effect", point, 6)


class Cuts(unittest.TestCase):
    def test_a_dead_node_s_statement_that_still_runs_is_the_one_that_counts(self):
        with Shop() as shop:
            victim = shop.node("victim", node=FAST).ready()
            enqueue(shop.db, "buy", 1, "jsonb_build_object('sleep', 0.8)")
            wait_for("the function to run", lambda: tries(shop.db) == 1, 20)
            victim.kill()
            shop.node("rescuer", node=FAST).ready()
            wait_for("the job to end", lambda: shop.db.unfinished() == 0, 30)
            self.assertEqual(shop.db.execute("SELECT status, attempts, crashes FROM rowcrew.job_queue"), [("completed", 1, 0)])
            self.assertEqual((effects(shop.db), tries(shop.db)), ((1, 1), 1))

    def test_connections_that_are_terminated_all_the_time_cost_no_effect_and_add_none(self):
        jobs = 1500
        with Shop() as shop:
            shop.db.execute("INSERT INTO rowcrew.job_type (name, max_attempts, backoff_base_ms, backoff_cap_ms) "
                            "VALUES ('sql', 1000, 10, 50), ('effect', 1000, 10, 50)")
            for entry in ("buy", "buy_many", "tell_many", "effect"):
                enqueue(shop.db, entry, jobs // 4)
            shop.db.execute("UPDATE rowcrew.job_queue SET max_attempts = 1000")
            shop.node(node=FAST, log={"format": "json", "level": "warning"})
            stop = threading.Event()
            cut = []

            def terminate():
                pause = 0.03
                while not stop.wait(pause):
                    pause *= 1.003  # a busy machine's transactions take longer: some must come through
                    cut.extend(shop.db.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND application_name LIKE '%%/handlers'"))

            cutter = threading.Thread(target=terminate)
            cutter.start()
            try:
                wait_for("every job to end", lambda: shop.db.connection.closed or
                         shop.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status IN ('pending', 'processing', 'retrying')") == 0,
                         120, every=0.2)
            finally:
                stop.set()
                cutter.join()
            done = jobs // 4 * 4
            self.assertEqual(shop.db.execute("SELECT status, count(*) FROM rowcrew.job_queue WHERE job_type <> 'noop' GROUP BY 1"),
                             [("completed", done)])
            self.assertEqual(effects(shop.db), (done, done))
            self.assertEqual(shop.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE job_type = 'noop'"), jobs // 4)
            print(f"{len(cut)} connections terminated: {done} effects once each, {tries(shop.db)} tries", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
