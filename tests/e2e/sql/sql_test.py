#!/usr/bin/python3
"""The kind sql on a real node: functions of an application as jobs."""
import io
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import wait_for  # noqa: E402
from support.shop import ENTRIES, Shop, effects, enqueue, tries  # noqa: E402


class Sql(unittest.TestCase):
    def setUp(self):
        self.shop = Shop().__enter__()
        self.addCleanup(self.shop.__exit__)
        self.db = self.shop.db

    def wait_finished(self, within=60):
        wait_for("every job to end", lambda: self.db.unfinished() == 0, within)

    def ends(self):
        return self.db.execute("SELECT payload -> 'args' ->> 'n', status, error_code FROM rowcrew.job_queue "
                               "WHERE status <> 'completed' ORDER BY 1")

    def test_jobs_that_wait_together_share_transactions_and_keep_their_results(self):
        enqueue(self.db, "tell_many", 200)
        node = self.shop.node(queues={"default": 100}).ready()
        self.wait_finished()
        self.assertEqual(effects(self.db), (200, 200))
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE result = payload -> 'args' -> 'n'"), 200)
        self.assertLessEqual(self.db.value("SELECT count(DISTINCT xact) FROM shop.effect"), 100)
        self.assertEqual(tries(self.db), 200)
        node.stop()
        self.assertEqual(self.db.execute("SELECT sum(started), sum(completed), sum(claim_lost) FROM rowcrew.node_stat"), [(200, 200, 0)])
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue_claim"), 0)
        self.assertEqual(len(node.lines("job.completed")), 200)

    def test_a_job_that_ends_while_the_node_compares_is_not_called_lost(self):
        enqueue(self.db, "buy_many", 6000)
        node = self.shop.node(queues={"default": 100}, node={"reconcile_every": "100ms"}).ready()
        self.wait_finished()
        node.stop()
        self.assertEqual(len(node.lines("job.completed")), 6000)
        self.assertEqual(node.lines("job.claim_lost"), [])

    def test_one_bad_job_spoils_no_neighbour(self):
        enqueue(self.db, "buy_many", 60, "jsonb_build_object('n', n) || CASE WHEN n IN (7, 33) "
                "THEN jsonb_build_object('raise', CASE n WHEN 7 THEN 'P0001' ELSE '23514' END) ELSE '{}' END")
        self.shop.node().ready()
        self.wait_finished()
        self.assertEqual(self.ends(), [("33", "failed", "db_23514"), ("7", "failed", "db_P0001")])
        self.assertEqual(effects(self.db), (58, 58))

    def test_what_may_pass_is_tried_again_and_what_will_not_is_final(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, max_attempts, backoff_base_ms, backoff_cap_ms) VALUES ('sql', 2, 10, 20)")
        self.db.execute("SELECT rowcrew.enqueue_many(jsonb_agg(jsonb_build_object('job_type', 'sql', 'payload', "
                        "jsonb_build_object('entry', 'buy', 'args', jsonb_build_object('n', n, 'raise', s))))) "
                        "FROM unnest(ARRAY['40001', '22012', 'XX000']) WITH ORDINALITY AS x (s, n)")
        self.shop.node().ready()
        self.wait_finished()
        self.assertEqual(self.db.execute("SELECT payload -> 'args' ->> 'raise', status, error_code, attempts FROM rowcrew.job_queue ORDER BY 1"),
                         [("22012", "failed", "db_22012", 1), ("40001", "failed", "db_40001", 2), ("XX000", "failed", "db_XX000", 2)])
        self.assertEqual(effects(self.db), (0, 0))
        self.assertEqual(tries(self.db), 5)

    def test_a_role_that_a_function_left_behind_stops_no_later_job(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, max_attempts, backoff_base_ms, backoff_cap_ms) VALUES ('sql', 3, 10, 20);"
                        "CREATE FUNCTION shop.become(jsonb) RETURNS void LANGUAGE plpgsql AS "
                        "$$ BEGIN PERFORM set_config('role', 'rowcrew_viewer', false); END $$")
        enqueue(self.db, "become", 1)
        entries = {**ENTRIES, "become": {"function": "shop.become"}}
        self.shop.node(queues={"default": 1}, kinds={"sql": {"allow": entries}}).ready()
        self.wait_finished()
        enqueue(self.db, "buy", 5)
        self.wait_finished()
        self.assertEqual(self.ends(), [])
        self.assertEqual(effects(self.db), (5, 5))

    def test_a_function_that_takes_too_long_is_ended_by_the_server(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, max_attempts) VALUES ('sql', 1)")
        self.db.execute("SELECT rowcrew.enqueue('sql', '{\"entry\": \"buy\", \"args\": {\"sleep\": 30}}')")
        self.shop.node(kinds={"sql": {"allow": {"buy": {"function": "shop.buy", "timeout": "300ms"}}}}).ready()
        self.wait_finished(20)
        self.assertEqual(self.db.execute("SELECT status, error_code FROM rowcrew.job_queue"), [("failed", "timeout")])
        self.assertEqual(effects(self.db), (0, 0))

    def test_a_port_that_refuses_undoes_the_function_and_is_not_asked_about_that(self):
        self.db.execute("CREATE TABLE shop.told (status text); INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop'); "
                        "CREATE FUNCTION shop.sql_ended(job uuid, ended jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
                        "INSERT INTO shop.told VALUES (ended ->> 'status'); IF ended -> 'result' = '2' THEN "
                        "RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END IF; END $$")
        enqueue(self.db, "tell_many", 3)
        node = self.shop.node().ready()
        self.wait_finished()
        self.assertEqual(self.ends(), [("2", "failed", "port_failed")])
        self.assertEqual(effects(self.db), (2, 2))
        self.assertEqual(self.db.execute("SELECT status, count(*) FROM shop.told GROUP BY 1"), [("completed", 2)])
        node.wait_event("port.failed")

    def test_a_late_end_is_refused_and_counted(self):
        enqueue(self.db, "buy", 1, "jsonb_build_object('sleep', 0.5)")
        node = self.shop.node(node={"reconcile_every": "1m"}).ready()
        wait_for("the job to run", lambda: self.db.counts().get("processing") == 1, 20)
        # Under the fence's lock the hand waits for the function; before it, the function does not run.
        self.db.execute("UPDATE rowcrew.job_queue SET status = 'cancelled' WHERE status = 'processing'")
        node.stop()
        status, ran = self.db.value("SELECT status FROM rowcrew.job_queue"), effects(self.db)
        self.assertIn((status, ran), [("completed", (1, 1)), ("cancelled", (0, 0))])

    def test_a_stop_in_the_midst_of_functions_ends_in_time_and_each_is_done_once(self):
        enqueue(self.db, "buy", 6, "jsonb_build_object('sleep', 2.5)")
        enqueue(self.db, "tell", 2, "jsonb_build_object('sleep', 2.5)")
        first = self.shop.node("first", node={"stop_within": "2s", "lease": "10s"}, database={"handler_threads": 1})
        wait_for("a function to run", lambda: tries(self.db) > 0, 20)
        code, seconds = first.stop()
        self.assertEqual(code, 0, first.tail())
        self.assertLess(seconds, 3)
        self.shop.node("second", node={"lease": "10s"}, database={"handler_threads": 4})
        self.wait_finished()
        self.assertEqual(effects(self.db), (8, 8))
        self.assertEqual(self.db.counts(), {"completed": 8})

    def test_a_node_says_what_is_wrong_with_an_entry_and_does_not_start(self):
        self.db.execute("CREATE FUNCTION shop.wrong(text) RETURNS integer LANGUAGE sql AS 'SELECT 1'")
        for function, said in [("shop.nowhere", "found none, expected (jsonb) or (uuid, jsonb), returning void or jsonb"),
                               ("shop.wrong", "found (text) returning integer, expected (jsonb) or (uuid, jsonb)")]:
            node = self.shop.node(kinds={"sql": {"allow": {"charge": {"function": function}}}})
            self.assertEqual(node.exited(), 78)
            self.assertIn(f"kinds.sql.allow.charge: function {function}: {said}", node.tail())

    def test_every_way_in_is_run(self):
        buffer = io.StringIO("".join(f'sql\t{{"entry": "buy_many", "args": {{"n": {n}}}}}\n' for n in range(300)))
        with self.db.connection.cursor() as cursor:
            cursor.copy_expert("COPY rowcrew.job_queue (job_type, payload) FROM STDIN", buffer)
        rows = ", ".join(["('sql', '{\"entry\": \"buy_many\"}')"] * 100)
        self.db.execute(f"INSERT INTO rowcrew.job_queue (job_type, payload) VALUES {rows}")
        self.db.execute("SELECT count(*) FROM rowcrew.enqueue_many((SELECT jsonb_agg(jsonb_build_object('job_type', 'sql', 'payload', "
                        "'{\"entry\": \"buy\"}'::jsonb, 'unique_key', (n % 50)::text)) FROM generate_series(1, 100) n))")
        self.shop.node(queues={"default": 50}).ready()
        self.wait_finished()
        self.assertEqual(effects(self.db), (450, 450))


if __name__ == "__main__":
    unittest.main(verbosity=2)
