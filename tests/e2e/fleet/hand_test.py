#!/usr/bin/python3
"""What people do to rows by hand, and what the fleet mends by itself."""
import pathlib
import sys
import time
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, FleetTest, run, wait_for  # noqa: E402
from support.proxy import Proxy  # noqa: E402
from support.slow import claiming_slowly, slow_claims  # noqa: E402

QUICK = {"reconcile_every": "200ms", "audit_every": "500ms", "poll_every": "200ms"}


class FarAway(Proxy):
    """Every message takes a while."""

    def _pass_on(self, source, target):
        time.sleep(0.003)
        super()._pass_on(source, target)


class ByHand(FleetTest):
    def test_a_running_job_cancelled_by_update_is_stopped(self):
        node = self.node(node=QUICK).ready()
        self.enqueue("sleep", payload='{"ms": 600000}')
        node.wait_event("job.started")
        self.db.execute("UPDATE rowcrew.job_queue SET status = 'cancelled'")
        node.wait_event("job.claim_lost", status="cancelled")
        wait_for("the claim to be cleared", lambda: self.db.value("SELECT count(*) FROM rowcrew.job_queue_claim") == 0)
        self.assertEqual(self.db.counts(), {"cancelled": 1})
        self.assertEqual(node.stop()[0], 0)

    def test_a_running_job_set_to_pending_starts_over_and_the_old_run_writes_nothing(self):
        node = self.node(node=QUICK).ready()
        self.enqueue("sleep", payload='{"ms": 3000}')
        node.wait_event("job.started")
        self.db.execute("UPDATE rowcrew.job_queue SET status = 'pending'")
        self.wait_finished()
        self.assertEqual(self.db.execute("SELECT status, attempts FROM rowcrew.job_queue"), [("completed", 1)])
        self.assertEqual(len(node.lines("job.started")), 2)

    def test_rows_of_running_jobs_that_an_open_transaction_holds_keep_no_other_job_waiting(self):
        self.node(queues={"default": 40}).ready()
        self.enqueue("sleep", 30, payload='{"ms": 2000}')
        wait_for("them to run", lambda: self.db.counts().get("processing") == 30)
        person = psycopg2.connect(self.db.url)
        person.cursor().execute("SELECT FROM rowcrew.job_queue FOR UPDATE")
        wait_for("an end to wait for its row", lambda: self.db.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        self.enqueue("noop", 100)
        wait_for("all others to end", lambda: self.db.counts().get("completed") == 100, 30)
        # By then each of those held has been tried: it is a second round of tries that others must not wait for.
        for more in range(1, 6):
            self.enqueue("noop", 100)
            wait_for("later ones to end", lambda: self.db.counts().get("completed") == 100 + 100 * more, 4)
        person.rollback()
        self.wait_finished(20)
        self.assertEqual(self.db.value("SELECT max(attempts) FROM rowcrew.job_queue"), 1)
        person.close()

    def test_cancelled_jobs_in_front_do_not_hold_up_those_behind(self):
        self.enqueue("noop", 2000)
        self.db.execute("UPDATE rowcrew.job_queue SET status = 'cancelled'")
        self.enqueue("noop")
        self.node(node={"poll_every": "30s"}, queues={"default": 4}).ready()
        self.wait_finished(60)  # five hundred claims, not one of five hundred polls

    def test_jobs_that_wait_on_a_node_for_a_slot_do_not_stall_it(self):
        self.enqueue("sleep", 1500, payload='{"ms": 5}')
        self.node(node=QUICK, queues={"default": 4}).ready()
        self.wait_finished(60)
        stalls = self.db.value("SELECT count(*) FROM (SELECT started_at - lag(started_at) OVER (ORDER BY started_at) AS gap"
                               " FROM rowcrew.job_queue) x WHERE gap > interval '0.7 s'")
        self.assertLess(stalls, 2)  # one may be the machine's

    def test_a_failed_job_set_to_pending_runs_again(self):
        self.node().ready()
        self.enqueue("fail")
        self.wait_finished()
        self.db.execute("UPDATE rowcrew.job_queue SET status = 'pending', job_type = 'noop'")
        self.wait_finished()
        self.assertEqual(self.db.counts(), {"completed": 1})

    def test_deleted_hints_are_found_and_filed_again(self):
        self.enqueue("noop", 100)
        self.db.execute("DELETE FROM rowcrew.job_queue_ready")
        node = self.node(node=QUICK).ready()
        self.wait_finished(30)
        healed = lambda: sum(line.get("jobs", 1) for line in node.lines("hint.healed"))  # noqa: E731
        wait_for("each to be told of", lambda: healed() >= 100)
        self.assertEqual(healed(), 100)

    def test_a_healthy_fleet_heals_nothing(self):
        nodes = [self.node(f"n{i}", node=QUICK).ready() for i in range(2)]
        for _ in range(30):
            self.enqueue("flaky", 50)
        self.wait_finished()
        for node in nodes:
            self.assertEqual(node.lines("hint.healed"), [])
            self.assertEqual(node.lines("claim.reconciled"), [])

    def test_housekeeping_that_fails_keeps_no_other_from_its_work(self):
        self.db.execute("CREATE OR REPLACE FUNCTION rowcrew.ensure_partitions(p_ahead integer DEFAULT 4) RETURNS integer LANGUAGE plpgsql AS "
                        "$$ BEGIN RAISE EXCEPTION 'not today'; END $$")
        self.db.execute("INSERT INTO rowcrew.job_unique VALUES ('once:1', 'k', 'job_queue', gen_random_uuid(), now() - interval '8 days')")
        self.node(node=QUICK).ready()
        wait_for("the old key to be forgotten", lambda: self.db.value("SELECT count(*) FROM rowcrew.job_unique") == 0)

    def test_a_job_of_an_unknown_type_goes_to_a_node_that_knows_it(self):
        stranger = self.node("stranger", program="rowcrewd").ready()
        self.enqueue("noop")
        self.enqueue("misspelt", 2)
        stranger.wait_event("job.unserved", job_type="noop", jobs=1)
        stranger.wait_event("job.unserved", job_type="misspelt", jobs=2)
        wait_for("the job to be handed back", lambda: self.db.counts() == {"pending": 3})
        self.db.execute("DELETE FROM rowcrew.job_queue WHERE job_type = 'misspelt'")
        self.db.execute("UPDATE rowcrew.job_queue SET scheduled_at = now()")
        self.assertEqual(stranger.stop()[0], 0)
        self.node("expert").ready()
        self.wait_finished()

    def test_a_paused_queue_is_left_alone_until_it_is_resumed(self):
        self.db.execute("INSERT INTO rowcrew.queue (name, paused) VALUES ('default', true)")
        node = self.node(node={"lease": "2s"}).ready()
        self.enqueue("noop")
        self.enqueue("noop", table="processing_jobs", column="type")
        self.wait_finished(table="processing_jobs")
        self.assertEqual(self.db.counts(), {"pending": 1})
        self.db.execute("UPDATE rowcrew.queue SET paused = false")
        self.wait_finished()
        self.assertEqual(node.stop()[0], 0)

    def test_a_schedule_enqueues_each_moment_once_with_two_nodes(self):
        self.db.execute("INSERT INTO rowcrew.schedule (name, every_ms, job_type) VALUES ('often', 1000, 'noop')")
        for i in range(2):
            self.node(f"n{i}").ready()
        wait_for("four ticks", lambda: self.db.value("SELECT count(*) FROM rowcrew.tick") >= 4, 20)
        self.db.execute("UPDATE rowcrew.schedule SET enabled = false")
        self.wait_finished()
        ticks, moments, jobs = self.db.execute(
            "SELECT count(*), count(DISTINCT due_at), (SELECT count(*) FROM rowcrew.job_queue) FROM rowcrew.tick")[0]
        self.assertEqual((moments, jobs), (ticks, ticks))

    def test_work_until_empty_ends_when_nothing_is_due(self):
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload, scheduled_at) SELECT 'command', "
                        "'{\"entry\": \"yes\"}', now() + i * interval '1 hour' FROM generate_series(0, 1) i")
        config = self.node("config_only", kinds={"command": {"allow": {"yes": {"argv": ["/bin/true"]}}}})
        config.kill()
        self.db.execute("UPDATE rowcrew.node SET dead = true")
        done = run([BIN / "rowcrew", "work", "--until-empty", "--config", config.config_path], within=30)
        self.assertIn("job.completed", done.stdout)
        self.assertEqual(self.db.counts(), {"completed": 1, "pending": 1})

    def test_work_until_empty_ends_although_a_queue_is_paused(self):
        config = self.node("config_only", queues={"default": 4, "mail": 2})
        config.kill()
        self.db.execute("SELECT rowcrew.pause('queue', 'mail')")
        self.db.execute("UPDATE rowcrew.node SET dead = true")
        run([BIN / "rowcrew", "work", "--until-empty", "--config", config.config_path], within=30)

    def work_until_empty_under_a_limit(self, slots, jobs):
        """Every other job of a tenant of whose jobs one may run."""
        config = self.node("config_only", kinds={"command": {"allow": {"yes": {"argv": ["/bin/true"]}}}}, queues={"default": slots})
        config.kill()
        self.db.execute("SELECT rowcrew.limit_set('one', p_type => 'command', p_by => 'tenant', p_running => 1)")
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload, tenant) "
                        "SELECT 'command', '{\"entry\": \"yes\"}', CASE WHEN i %% 2 = 0 THEN 'one' END FROM generate_series(1, %s) i", (jobs,))
        self.db.execute("UPDATE rowcrew.node SET dead = true")
        run([BIN / "rowcrew", "work", "--until-empty", "--config", config.config_path], within=30)
        self.assertEqual(self.db.counts(), {"completed": jobs})

    def test_work_until_empty_does_not_leave_behind_what_limits_keep_back(self):
        self.work_until_empty_under_a_limit(slots=2, jobs=40)

    def test_work_until_empty_ends_when_all_that_waits_behind_a_limit_is_cancelled(self):
        config = self.node("config_only", node=QUICK)
        config.kill()
        self.db.execute("SELECT rowcrew.limit_set('none', p_running => 0)")
        self.enqueue("noop", 3)
        self.db.execute("UPDATE rowcrew.job_queue SET status = 'cancelled'")
        self.db.execute("UPDATE rowcrew.node SET dead = true")
        run([BIN / "rowcrew", "work", "--until-empty", "--config", config.config_path], within=30)
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.job_queue_limited"), 0)

    def test_a_node_with_one_slot_does_not_freeze_while_jobs_wait_for_permits(self):
        self.work_until_empty_under_a_limit(slots=1, jobs=40)


class Aside(FleetTest):
    def sleeps(self):
        return self.db.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' "
                             "AND (classid::bigint << 32) + objid::bigint = 7126300141 "
                             "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == 1

    def test_a_node_of_two_tables_and_queues_sleeps_soon_after_short_jobs(self):
        # A claim of one table had to leave out the queue whose slots that of the other had asked for, at each look.
        self.node().ready()
        for n in range(1, 5):
            self.enqueue("noop")
            wait_for(f"job {n}", lambda: self.db.counts().get("completed") == n)
        wait_for("it to sleep", self.sleeps, 5)

    def test_a_fleet_sleeps_although_a_queue_is_paused(self):
        self.db.execute("SELECT rowcrew.pause('queue', 'generation')")
        self.node().ready()
        wait_for("it to sleep", self.sleeps, 10)

    def test_a_fleet_under_a_limit_sleeps_although_its_database_is_far_away(self):
        self.db.execute("SELECT rowcrew.limit_set('two', p_type => 'noop', p_running => 2)")
        with FarAway(self.db.url) as proxy:
            self.node(url=proxy.url).ready()
            wait_for("it to sleep", self.sleeps, 20)

    def test_ends_do_not_wait_for_a_slow_claim_of_another_table(self):
        slow_claims(self.db, "processing_jobs", "3 s")
        self.node().ready()
        for n in range(1, 5):
            self.enqueue("noop")
            wait_for(f"job {n}", lambda: self.db.counts().get("completed") == n)
        # Asleep a node claims from the table that was announced; awake it would ask this one for all its slots.
        wait_for("it to sleep", self.sleeps)
        self.enqueue("noop", table="processing_jobs", column="type")
        wait_for("the claim", lambda: claiming_slowly(self.db))
        for n in range(5, 9):
            self.enqueue("noop")
            wait_for(f"job {n}", lambda: self.db.counts().get("completed") == n)
        self.assertLess(self.db.value("SELECT max(completed_at - started_at) FROM rowcrew.job_queue").total_seconds(), 1.5)  # that claim takes 3 s

    def test_a_job_that_nobody_serves_is_handed_back_also_where_that_fails_once(self):
        self.db.execute("CREATE SEQUENCE tries")
        self.db.execute("GRANT ALL ON SEQUENCE tries TO PUBLIC")
        self.db.execute("CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('public.tries') = 1 THEN "
                        "RAISE EXCEPTION 'once' USING ERRCODE = 'serialization_failure'; END IF; RETURN NEW; END $$")
        self.db.execute("CREATE TRIGGER once BEFORE UPDATE ON rowcrew.job_queue FOR EACH ROW WHEN (OLD.status = 'processing' "
                        "AND NEW.status IN ('pending', 'retrying') AND NEW.job_type = 'mystery') EXECUTE FUNCTION once()")
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload) SELECT t, '{\"ms\": 300}' FROM unnest(ARRAY['sleep', 'sleep', 'mystery']) t")
        node = self.node(node={"audit_every": "1h"}).ready()
        wait_for("the served ones to end", lambda: self.db.counts().get("completed") == 2)
        wait_for("the other to wait", lambda: self.db.execute(
            "SELECT status, attempts, crashes FROM rowcrew.job_queue WHERE job_type = 'mystery'") == [("pending", 0, 0)], 10)
        wait_for("its hint", lambda: self.db.value("SELECT count(*) FROM rowcrew.job_queue_parked") == 1, 10)
        self.assertEqual(node.lines("hint.healed"), [])


class Refused(FleetTest):
    def test_a_payload_that_is_not_what_the_kind_expects_fails_at_once(self):
        kinds = {"command": {"allow": {"hello": {"argv": ["/bin/echo", "{name}"], "args": {"name": "[a-z]+"}}}},
                 "http": {"allow": {"local": {"url": "http://127.0.0.1:9/", "method": "GET"}}}}
        self.node(kinds=kinds).ready()
        bad = ['[]', '{}', '{"entry": 5}', '{"entry": "nosuch"}', '{"entry": "hello"}',
               '{"entry": "hello", "args": {"name": "A; rm -rf /"}}', '{"entry": "hello", "args": {"name": "a", "more": "b"}}']
        for payload in bad:
            self.enqueue("command", payload=payload)
        self.enqueue("http", payload='{"entry": "local"}')
        self.wait_finished()
        rows = self.db.execute("SELECT payload::text, status, attempts, error_code, error_message FROM rowcrew.job_queue")
        for payload, status, attempts, code, message in rows:
            self.assertEqual((status, attempts), ("failed", 1), (payload, message))
            self.assertIn(code, ("bad_payload", "unknown_entry", "egress_refused"))
            self.assertTrue(message)

    def test_egress_refuses_addresses_inside_unless_they_are_listed(self):
        inside = {"loopback": "127.0.0.1", "private": "10.0.0.1", "link_local": "169.254.1.1", "metadata": "169.254.169.254",
                  "mapped": "[::ffff:127.0.0.1]", "six": "[::1]", "named": "localhost", "unique_local": "[fd00:ec2::254]"}
        allow = {name: {"url": f"http://{host}:9/", "method": "GET", "timeout": "2s"} for name, host in inside.items()}
        self.node(kinds={"http": {"allow": allow}}).ready()
        for name in inside:
            self.enqueue("http", payload=f'{{"entry": "{name}"}}')
        self.wait_finished()
        self.assertEqual(self.db.execute("SELECT status, error_code, count(*) FROM rowcrew.job_queue GROUP BY 1, 2"),
                         [("failed", "egress_refused", len(inside))])
        self.db.execute("TRUNCATE rowcrew.job_queue")
        for node in self.nodes:
            node.stop()
        # Listed, the guard lets it through: nobody listens on port 9, so that waiting may help.
        self.node("listed", kinds={"http": {"allow": allow}}, egress={"allow": ["127.0.0.1:9"]}).ready()
        self.enqueue("http", payload='{"entry": "loopback"}')
        wait_for("a retry", lambda: self.db.execute("SELECT error_code FROM rowcrew.job_queue WHERE status = 'retrying'") == [("http_connect",)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
