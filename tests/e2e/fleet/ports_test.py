#!/usr/bin/python3
"""Ports of an app on a real node: what they write is one with the job's end, what they refuse costs one job."""
import pathlib
import sys
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, wait_for  # noqa: E402

SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.told (id uuid, status text, code text);
INSERT INTO rowcrew.app (name, schema_name) VALUES ('shop', 'shop');
"""


class Ports(FleetTest):
    def shop(self, body, job_type="noop"):
        self.db.execute(SHOP + f"CREATE FUNCTION shop.{job_type}_ended(job_id uuid, ended jsonb) RETURNS void "
                        f"LANGUAGE plpgsql AS $$ BEGIN {body} END $$")

    def ends(self):
        return self.db.execute("SELECT payload ->> 'n', status, error_code FROM rowcrew.job_queue ORDER BY 1")

    def insert(self, count, columns="", values=""):
        self.db.execute(f"INSERT INTO rowcrew.job_queue (job_type, payload{columns}) "
                        f"SELECT 'noop', jsonb_build_object('n', n){values} FROM generate_series(1, %s) n", (count,))

    def test_what_a_port_refuses_fails_its_own_job_and_no_neighbour(self):
        self.shop("INSERT INTO shop.told VALUES (job_id, ended ->> 'status', ended ->> 'error_code'); "
                  "IF (SELECT payload ->> 'n' FROM rowcrew.job_queue q WHERE q.id = job_id) = '3' THEN "
                  "RAISE EXCEPTION 'sold out' USING ERRCODE = 'check_violation'; END IF;")
        self.insert(6)
        node = self.node().ready()
        self.wait_finished()
        self.assertEqual(self.ends(), [(str(n), *(("failed", "port_failed") if n == 3 else ("completed", None)))
                                       for n in range(1, 7)])
        # What it wrote before it refused is undone, and it is not asked again about its own refusal.
        self.assertEqual(self.db.execute("SELECT status, count(*) FROM shop.told GROUP BY 1"), [("completed", 5)])
        self.assertEqual(len(node.wait_lines("port.failed")), 1)

    def test_a_port_that_is_broken_itself_is_tried_again_and_serves_when_it_is_mended(self):
        self.db.execute("INSERT INTO rowcrew.job_type (name, backoff_base_ms, backoff_cap_ms) VALUES ('noop', 100, 200)")
        self.shop("UPDATE shop.nowhere SET x = 1;")
        self.insert(1, ", max_attempts", ", 1000")
        node = self.node().ready()
        node.wait_event("port.failed")
        self.db.execute("CREATE TABLE shop.nowhere (x int)")
        self.wait_finished()
        self.assertEqual(self.ends(), [("1", "completed", None)])

    def test_an_app_that_is_registered_while_nodes_rest_is_told_of_the_next_job(self):
        node = self.node().ready()
        node.wait_event("listener.ready")
        self.shop("INSERT INTO shop.told VALUES (job_id, ended ->> 'status', NULL);")
        self.db.execute("UPDATE rowcrew.app SET schema_name = schema_name")  # the function exists now
        beats = "SELECT beat FROM rowcrew.node"
        before = self.db.value(beats)
        wait_for("the beat that reads it", lambda: self.db.value(beats) > before, 3)
        self.insert(1)
        wait_for("the port to be told", lambda: self.db.value("SELECT count(*) FROM shop.told") == 1, 10)
        self.wait_finished()
        self.assertEqual(self.db.value("SELECT count(*) FROM shop.told"), 1)

    def test_what_has_run_does_not_pile_up_behind_a_slow_port(self):
        # A node's death makes all of it run again.
        self.shop("PERFORM pg_sleep(0.005);")
        self.insert(2000)
        self.node(queues={"default": 8}).ready()
        most = 0
        while self.db.unfinished() > 0:
            most = max(most, self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'processing'"))
        print(f"at most {most} jobs were claimed and not ended")
        self.assertLess(most, 1000)

    def test_a_port_that_waits_for_a_lock_holds_up_its_own_queue_only(self):
        self.shop("INSERT INTO shop.told VALUES (job_id);")
        person = psycopg2.connect(self.db.url)
        person.cursor().execute("LOCK TABLE shop.told")
        self.insert(400)
        self.node(queues={"default": 8, "other": 4}).ready()
        wait_for("the ends to pile up", lambda: self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'processing'") >= 200)
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, queue, payload) SELECT 'sleep', 'other', '{\"ms\": 1}' FROM generate_series(1, 50)")
        wait_for("the other queue to end", lambda: self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE job_type = 'sleep' AND status <> 'completed'") == 0, 20)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE job_type = 'noop' AND status = 'completed'"), 0)
        person.close()
        self.wait_finished(60)

    def test_rows_that_an_open_transaction_holds_keep_no_end_waiting_whose_port_writes_others(self):
        self.shop("UPDATE shop.orders SET n = n + 1 WHERE id = (SELECT (payload ->> 'n')::int FROM rowcrew.job_queue q WHERE q.id = job_id);")
        self.db.execute("CREATE TABLE shop.orders (id int PRIMARY KEY, n int NOT NULL DEFAULT 0); INSERT INTO shop.orders SELECT generate_series(1, 200)")
        person = psycopg2.connect(self.db.url)
        person.cursor().execute("UPDATE shop.orders SET n = n WHERE id <= 30")
        self.insert(30)
        node = self.node().ready()
        wait_for("the held ones to run", lambda: self.db.counts().get("processing") == 30)
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'noop', jsonb_build_object('n', n) FROM generate_series(31, 200) n")
        wait_for("all others to end", lambda: self.db.counts().get("completed") == 170, 40)
        node.wait_lines("job.unwritable")
        person.rollback()
        self.wait_finished(20)
        self.assertEqual(self.db.execute("SELECT n, count(*) FROM shop.orders GROUP BY 1"), [(1, 200)])
        person.close()

    def test_a_suspect_waits_until_the_end_of_the_one_before_is_written(self):
        # By then its own claim has gone: what is counted would share the fate of this node.
        self.shop("PERFORM pg_sleep(0.3); INSERT INTO shop.told SELECT job_id, count(*)::text FROM rowcrew.job_queue_claim WHERE alone;")
        self.insert(4, ", crashes", ", 2")
        self.node().ready()
        self.wait_finished()
        self.assertEqual(self.db.execute("SELECT status, count(*) FROM shop.told GROUP BY 1"), [("0", 4)])

    def test_a_node_says_which_port_has_a_wrong_signature_and_does_not_start(self):
        self.db.execute(SHOP + "CREATE FUNCTION shop.email_allowed(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'")
        node = self.node()
        self.assertEqual(node.exited(), 78)
        self.assertIn("shop.email_allowed(text) returns boolean, expected (text, text) returns boolean", node.tail())


if __name__ == "__main__":
    unittest.main(verbosity=2)
