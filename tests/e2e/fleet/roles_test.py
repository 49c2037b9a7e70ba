#!/usr/bin/python3
"""Nodes work as a login that is only a rowcrew_worker; what the other roles may and may not."""
import contextlib
import pathlib
import re
import sys
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.adopted import adopt  # noqa: E402
from support.fleet import SOURCE, URL, FleetTest, wait_for, with_user  # noqa: E402

NAMES = {"table": "rowcrew.job_queue", "ready": "rowcrew.job_queue_ready", "parked": "rowcrew.job_queue_parked",
         "claim": "rowcrew.job_queue_claim", "key_type": "uuid", "of_queue": "true", "table_name": "'job_queue'", "table_regclass": "'rowcrew.job_queue'",
         "job_type": "q.job_type", "payload": "q.payload", "carried": "q.payload", "result": "result", "app": "q.app", "took": "",
         "limited": "rowcrew.job_queue_limited", "take": "rowcrew.job_queue_take", "limit_columns": "q.job_type, q.tenant, NULL, q.payload",
         "ended": "rowcrew.webhook_ended", "args": "NULL", "call": "NULL", "call_one": "NULL", "after_call": "NULL"}


class Roles(FleetTest):
    def login(self, role):
        """A login in that group only; dropped with the test."""
        name = f"{role}_{self.db.name}"
        self.db.execute(f'CREATE ROLE "{name}" LOGIN IN ROLE {role}')
        self.addCleanup(self.drop_login, name)
        return with_user(self.db.url, name)

    def drop_login(self, name):
        with contextlib.closing(psycopg2.connect(URL)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'DROP ROLE "{name}"')

    def test_a_node_needs_no_more_than_rowcrew_worker(self):
        url = self.login("rowcrew_worker")
        self.db.execute("INSERT INTO rowcrew.event_subscription VALUES ('test', ARRAY['job.completed', 'job.failed'], NULL)")
        self.db.execute("INSERT INTO rowcrew.schedule (name, every_ms, job_type) VALUES ('often', 1000, 'noop')")
        node = self.node("worker", url=url, node={"reconcile_every": "200ms", "audit_every": "500ms"}).ready()
        for job_type in ("noop", "flaky", "fail"):
            self.enqueue(job_type, 10)
            self.enqueue(job_type, 10, table="processing_jobs", column="type")
        wait_for("a tick", lambda: self.db.value("SELECT count(*) FROM rowcrew.tick") > 0)
        self.db.execute("UPDATE rowcrew.schedule SET enabled = false")
        self.wait_finished()
        self.wait_finished(table="processing_jobs")
        # What is parked comes back by promotion, what a death has met by a claim of its own.
        for table, column in (("job_queue", "job_type"), ("processing_jobs", "type")):
            self.db.execute(f"INSERT INTO rowcrew.{table} ({column}, scheduled_at, crashes) VALUES "
                            "('noop', now() + interval '1 s', 0), ('noop', now(), 1), ('noop', now(), 2)")
            self.wait_finished(table=table)
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_a_node_needs_no_more_than_rowcrew_worker_and_two_rights_to_serve_a_table_of_an_application(self):
        self.db.execute("CREATE TABLE tickets (id bigserial PRIMARY KEY, kind text NOT NULL, customer text, state text NOT NULL DEFAULT 'new', due timestamptz)")
        adopt(self.db, "tickets", text="""
table: tickets
old_worker: none
max_attempts: 50
states: {pending: new, processing: busy, completed: ok, failed: bad}
columns: {status: state, job_type: kind, tenant: customer, scheduled_at: due}
""")
        self.db.execute("GRANT SELECT, UPDATE ON tickets TO rowcrew_worker")
        node = self.node("worker", url=self.login("rowcrew_worker"), node={"reconcile_every": "200ms", "audit_every": "500ms"}).ready()
        node.wait_event("table.served")

        def all_end(count):
            wait_for("all to end", lambda: self.db.value("SELECT count(*) FROM tickets WHERE state IN ('ok', 'bad')") == count)

        self.db.execute("INSERT INTO tickets (kind) SELECT unnest(ARRAY['noop', 'flaky', 'fail']) FROM generate_series(1, 10)")
        self.db.execute("INSERT INTO tickets (kind, due) SELECT 'noop', now() + interval '1 s' FROM generate_series(1, 10)")
        all_end(40)
        for name, arguments in (("customers", "p_by => 'tenant', p_running => 1"), ("rate", "p_type => 'noop', p_units => 1000, p_per => interval '1 s'")):
            self.db.execute(f"SELECT rowcrew.limit_set('{name}', {arguments})")
        self.db.execute("INSERT INTO tickets (kind, customer) SELECT 'noop', 'c' || n % 3 FROM generate_series(1, 30) n")
        all_end(70)
        # What has met the death of a node once, or twice, behind its keys.
        self.db.execute("SELECT rowcrew.pause('queue', 'default')")
        self.db.execute("INSERT INTO tickets (kind, customer) SELECT 'noop', 'c1' FROM generate_series(1, 3)")
        self.db.execute("INSERT INTO rowcrew.public_tickets_job (id, token, status, crashes) SELECT id, 0, 'pending', 1 + id % 2 FROM tickets WHERE state = 'new'")
        self.db.execute("WITH r AS (DELETE FROM rowcrew.public_tickets_ready RETURNING *) INSERT INTO rowcrew.public_tickets_parked (run_at, id, priority, queue, reason) "
                        "SELECT run_at, id, priority, queue, CASE WHEN id % 2 = 0 THEN 'rescued' ELSE 'suspect' END FROM r")
        self.db.execute("SELECT rowcrew.resume('queue', 'default')")
        all_end(73)
        self.assertEqual(node.stop()[0], 0, node.tail())

    def test_every_statement_of_the_engine_is_granted_to_rowcrew_worker(self):
        with contextlib.closing(psycopg2.connect(self.login("rowcrew_worker"))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            for path in sorted((SOURCE / "sql/queries").rglob("*.sql")):
                if "adopted" in path.parts or path.parent.name in ("cli", "doctor", "ingest", "web") or path.stem in ("issue", "acks"):
                    continue  # other tables', other programs' and operators'
                text = re.sub(r"\{port:(\w+)\}", r"rowcrew.\1", path.read_text()).replace("{{", "\0")
                text = re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], text).replace("\0", "{")
                arguments = max((int(n) for n in re.findall(r"\$(\d+)", text)), default=0)
                with self.subTest(path.name):
                    cursor.execute("DEALLOCATE ALL")
                    cursor.execute(f"PREPARE s AS {text}")
                    # Permissions are checked when the plan is set up; nothing runs.
                    cursor.execute("EXPLAIN EXECUTE s" + (f"({', '.join(['NULL'] * arguments)})" if arguments else ""))

    def test_a_unique_key_of_one_api_key_tells_nothing_of_another_ones_job(self):
        for name in "ab":
            self.db.execute("INSERT INTO rowcrew.api_key (name, key_hash, job_types) VALUES (%s, %s, '{*}')", (name, name * 64))

        def post(name):
            return self.db.execute("SELECT id, created FROM rowcrew.ingest_enqueue(%s, 'noop', '{}', p_unique_key => 'k')", (name * 64,))[0]

        first, second, stranger = post("a"), post("a"), post("b")
        self.assertEqual((first[1], second, stranger[1]), (True, (first[0], False), True))
        self.assertNotEqual(stranger[0], first[0])

    def test_the_application_sees_its_own_jobs_and_sets_nothing_of_ours(self):
        url = self.login("rowcrew_app")
        self.enqueue("noop")  # somebody else's
        with contextlib.closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("INSERT INTO rowcrew.job_queue (job_type) VALUES ('noop') RETURNING id")
            mine = cursor.fetchone()[0]
            cursor.execute("SELECT rowcrew.enqueue('noop', p_unique_key => 'k') = rowcrew.enqueue('noop', p_unique_key => 'k')")
            self.assertTrue(cursor.fetchone()[0])
            cursor.execute("SELECT count(*), count(*) FILTER (WHERE id = %s) FROM rowcrew.my_jobs", (mine,))
            self.assertEqual(cursor.fetchone(), (2, 1))
            for refused in ("INSERT INTO rowcrew.job_queue (job_type, status) VALUES ('noop', 'completed')",
                            "INSERT INTO rowcrew.job_queue (job_type, claim_token) VALUES ('noop', 1)",
                            "INSERT INTO rowcrew.job_queue (job_type, enqueued_by) VALUES ('noop', 'other')",
                            "UPDATE rowcrew.job_queue SET status = 'cancelled'",
                            "UPDATE rowcrew.job_queue SET claim_token = 1",
                            "DELETE FROM rowcrew.job_queue", "TRUNCATE rowcrew.job_queue",
                            "SELECT payload FROM rowcrew.job_queue",
                            "INSERT INTO rowcrew.job_queue_ready VALUES (now(), gen_random_uuid(), 0, 'default')",
                            "SELECT * FROM rowcrew.api_key"):
                with self.subTest(refused), self.assertRaises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(refused)


if __name__ == "__main__":
    unittest.main(verbosity=2)
