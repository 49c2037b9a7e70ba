#!/usr/bin/python3
"""Work inside the database for jobs of an application's own table: with the end of the job, or not at all."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import adopt  # noqa: E402
from support.fleet import wait_for  # noqa: E402
from support.shop import Shop, effects, tries  # noqa: E402

FAST = {"lease": "2s", "reconcile_every": "500ms", "poll_every": "200ms"}
MAP = """
schema: shop
table: orders
old_worker: none
states: {pending: new, processing: busy, completed: paid, failed: lost}
columns: {status: state, job_type: kind, attempts: tries, result: answer}
payload: jsonb_build_object('entry', entry, 'args', args)
"""


class AdoptedShop(Shop):
    def __init__(self):
        super().__init__()
        self.db.execute("CREATE TABLE shop.orders (id bigserial PRIMARY KEY, kind text NOT NULL DEFAULT 'sql', entry text, args jsonb, "
                        "state text NOT NULL DEFAULT 'new', tries int, answer jsonb)")
        adopt(self.db, "orders", text=MAP)

    def order(self, entry, n):
        self.db.execute("INSERT INTO shop.orders (entry, args) SELECT %s, jsonb_build_object('n', n) FROM generate_series(1, %s) n", (entry, n))

    def states(self):
        return dict(self.db.execute("SELECT state, count(*) FROM shop.orders GROUP BY 1"))


class Adopted(unittest.TestCase):
    def test_functions_of_every_sort_run_once_for_each_job_and_their_results_stand_in_the_table(self):
        with AdoptedShop() as shop:
            shop.db.execute("INSERT INTO rowcrew.app VALUES ('shop', 'shop'); CREATE TABLE shop.told (job uuid, status text)")
            shop.db.execute("CREATE FUNCTION shop.sql_ended(job_id uuid, ended jsonb) RETURNS void LANGUAGE sql AS "
                            "$$ INSERT INTO shop.told VALUES (job_id, ended ->> 'status') $$")
            adopt(shop.db, "orders", "--repair", text=MAP + "app: shop\n")
            shop.node(node=FAST).ready().wait_event("table.served")
            for entry in ("buy", "tell", "buy_many", "tell_many"):
                shop.order(entry, 25)
            wait_for("all to be paid", lambda: shop.states() == {"paid": 100})
            self.assertEqual((effects(shop.db), tries(shop.db)), ((100, 100), 100))
            self.assertEqual(shop.db.execute("SELECT DISTINCT tries, answer IS NOT DISTINCT FROM CASE WHEN entry LIKE 'tell%%' THEN args -> 'n' END FROM shop.orders"),
                             [(1, True)])
            # Functions and ports know a job by the same uuid.
            self.assertEqual(shop.db.execute("SELECT count(*), count(DISTINCT job) FROM shop.told JOIN shop.effect USING (job) WHERE status = 'completed'"), [(100, 100)])
            self.assertEqual(shop.db.value("SELECT count(*) FROM rowcrew.shop_orders_job"), 0)

    def test_a_node_that_is_killed_around_the_commit_costs_no_effect_and_adds_none(self):
        for entry, point in (("buy", "tx.sending"), ("buy", "tx.committed"), ("tell", "tx.fenced"), ("tell", "tx.worked"), ("tell_many", "tx.committed")):
            with self.subTest(entry=entry, point=point), AdoptedShop() as shop:
                shop.order(entry, 12)
                victim = shop.node("victim", fault=f"{point}:{1 if entry == 'tell_many' else 4}", node=FAST)
                self.assertEqual(victim.exited(60), -9, victim.tail())
                shop.node("rescuer", node=FAST).ready()
                wait_for("all to be paid", lambda shop=shop: shop.states() == {"paid": 12}, 60)
                self.assertEqual(effects(shop.db), (12, 12))
                wait_for("the dead node's claims to go", lambda shop=shop: shop.db.value("SELECT count(*) FROM rowcrew.shop_orders_claim") == 0, 30)
                self.assertEqual(shop.db.execute("SELECT DISTINCT tries FROM shop.orders"), [(1,)])

    def test_a_column_that_is_renamed_while_jobs_run_is_known_to_transactions_after_the_repair(self):
        with AdoptedShop() as shop:
            node = shop.node(node=FAST).ready()
            node.wait_event("table.served")
            shop.order("tell", 3)
            wait_for("all to be paid", lambda: shop.states() == {"paid": 3})
            shop.db.execute("ALTER TABLE shop.orders RENAME answer TO reply")
            adopt(shop.db, "orders", "--repair", text=MAP.replace("answer", "reply"))
            shop.order("tell", 3)
            wait_for("all to be paid", lambda: shop.states() == {"paid": 6})
            self.assertEqual(shop.db.value("SELECT count(reply) FROM shop.orders"), 6)


if __name__ == "__main__":
    unittest.main()
