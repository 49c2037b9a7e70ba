#!/usr/bin/python3
"""Dead, cut-off and frozen nodes: two executions never overlap where we can help it, late writes never land."""
import pathlib
import signal
import sys
import time
import unittest

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import FleetTest, free_of, processes, wait_for  # noqa: E402
from support.proxy import Proxy  # noqa: E402

LEASE = {"lease": "4s"}


class FarAway(Proxy):
    """Every message takes so long that much is claimed ahead."""

    def _pass_on(self, source, target):
        time.sleep(0.03)
        super()._pass_on(source, target)


class Lease(FleetTest):
    def test_a_node_that_holds_nothing_beats_less_often_than_one_that_works(self):
        busy = self.node("busy", node=LEASE).ready()
        self.node("idle", node=LEASE, queues={"other": 1}).ready()
        self.enqueue("sleep", payload='{"ms": 600000}')
        busy.wait_event("job.started")

        def beats():
            return dict(self.db.execute("SELECT name, beat FROM rowcrew.node"))

        before = beats()
        wait_for("twelve beats of the busy node", lambda: beats()["busy"] >= before["busy"] + 12)
        self.assertLess(beats()["idle"] - before["idle"], 10)  # at most two for three, and one for the edges
        self.assertGreater(beats()["idle"], before["idle"] + 3)

    def test_a_suspect_runs_alone_and_poison_fails_after_three_lonely_deaths(self):
        self.enqueue("crash")
        self.enqueue("sleep", 5, '{"ms": 300}')
        deaths = 0
        while self.db.unfinished():
            node = self.node(f"victim{deaths}", node={"lease": "2s"})
            wait_for("a death or the end", lambda: node.process.poll() is not None or self.db.unfinished() == 0, 60)
            if node.process.poll() is not None:
                self.assertEqual(node.process.returncode, -signal.SIGKILL, node.tail())
                deaths += 1
            self.assertLess(deaths, 10)
        self.assertEqual(self.db.execute("SELECT status, error_code, attempts FROM rowcrew.job_queue WHERE job_type = 'crash'"),
                         [("failed", "poison", 0)])
        # Two deaths may have had company, the first among all and the second under a claim of its own; then three alone.
        self.assertEqual(deaths, 5)
        self.assertEqual(self.db.execute("SELECT crashes, lonely_crashes FROM rowcrew.job_queue WHERE job_type = 'crash'"), [(5, 3)])
        self.assertEqual(self.db.execute("SELECT status, count(*) FROM rowcrew.job_queue WHERE job_type = 'sleep' GROUP BY 1"),
                         [("completed", 5)])
        # What alerts count.
        wait_for("poison to be counted as a failure",
                 lambda: self.db.value("SELECT sum(failed) FROM rowcrew.node_stat WHERE job_type = 'crash'") == 1, 10)

    def test_a_suspect_runs_beside_nobody_on_a_node_that_has_just_started(self):
        suspect = "(SELECT id FROM rowcrew.job_queue WHERE payload ? 'suspect')"
        for start in range(3):  # when it first looks for suspects its first claim is on its way
            self.db.execute("TRUNCATE rowcrew.job_queue")
            self.enqueue("sleep", payload='{"ms": 300, "suspect": true}')
            self.enqueue("sleep", 6, '{"ms": 300}')
            self.db.execute(f"UPDATE rowcrew.job_queue SET crashes = 2 WHERE id = {suspect}")
            node = self.node(f"fresh{start}")
            self.wait_finished()
            self.assertEqual(self.db.value(f"SELECT count(*) FROM rowcrew.job_queue a, rowcrew.job_queue s WHERE s.id = {suspect} AND a.id <> s.id "
                                           "AND a.started_at < s.completed_at AND a.completed_at > s.started_at"), 0)
            node.stop()

    def test_heartbeats_that_are_refused_are_told_before_the_lease_is_over(self):
        node = self.node().ready()
        node.wait_event("listener.ready")
        with psycopg2.connect(self.db.url) as holder:
            holder.cursor().execute("LOCK TABLE rowcrew.node IN EXCLUSIVE MODE")
            self.db.execute("INSERT INTO rowcrew.job_type (name) VALUES ('noop')")  # a node that hears of it beats at once
            node.wait_event("work.failing", what="heartbeats")
            self.assertEqual(node.lines("lease.stopping"), [])
        holder.close()
        self.db.execute("UPDATE rowcrew.job_type SET timeout_ms = 1000")
        node.wait_event("work.resumed", what="heartbeats")

    def test_a_table_that_somebody_keeps_locked_for_longer_than_a_lease_stops_no_job(self):
        nodes = [self.node(name, node=LEASE, queues={"default": 2}).ready() for name in ("one", "other")]
        self.enqueue("sleep", 4, '{"ms": 600000}')
        wait_for("all to run", lambda: sum(len(node.lines("job.started")) for node in nodes) == 4)

        def beats():
            return self.db.value("SELECT min(beat) FROM rowcrew.node")

        with psycopg2.connect(self.db.url) as holder:  # as VACUUM FULL and most of ALTER TABLE do
            holder.cursor().execute("LOCK TABLE rowcrew.job_queue_ready, rowcrew.cancel_request, rowcrew.gate IN ACCESS EXCLUSIVE MODE")
            before, since = beats(), time.monotonic()
            wait_for("a lease to be over, and beats behind it", lambda: beats() > before + 3 and time.monotonic() > since + 5)
        holder.close()
        for node in nodes:
            self.assertEqual(node.lines("lease.stopping") + node.lines("lease.lost") + node.lines("job.claim_lost"), [])
        self.assertEqual(self.db.execute("SELECT status, crashes, count(*) FROM rowcrew.job_queue GROUP BY 1, 2"), [("processing", 0, 4)])

    def test_what_a_dead_node_ran_does_not_wait_behind_what_its_heir_has_claimed_ahead(self):
        victim = self.node("victim", node={"lease": "2s"}).ready()
        self.enqueue("sleep", 8, '{"ms": 1000, "first": true}')
        wait_for("them to run", lambda: self.db.counts().get("processing") == 8)
        victim.kill()
        self.enqueue("sleep", 6000, '{"ms": 20}')
        with FarAway(self.db.url) as far:
            heir = self.node("heir", url=far.url, node={"lease": "2s"}).ready(60)
            wait_for("them to be rescued", lambda: len(heir.lines("job.rescued")) == 8, 30)
            wait_for("them to run again", lambda: self.db.value(
                "SELECT count(*) FROM rowcrew.job_queue WHERE payload ? 'first' AND (status = 'completed' OR status = 'processing')") == 8, 8)
            self.assertGreater(self.db.counts()["pending"], 200, "the others were to be a backlog")
            heir.kill()

    def test_a_node_that_is_cut_off_ends_its_handlers_before_another_starts_them(self):
        marker = "marker" + self.db.name
        kinds = {"command": {"allow": {"long": {
            "argv": ["/bin/sh", "-c", f": {marker}; trap '' TERM; while :; do sleep 0.1; done"], "timeout": "10m"}}}}
        with Proxy(self.db.url) as proxy:
            cut_off = self.node("cut_off", url=proxy.url, node=LEASE, kinds=kinds).ready()
            self.enqueue("command", payload='{"entry": "long"}')
            self.enqueue("sleep", payload='{"ms": 600000}')
            wait_for("both to start", lambda: len(cut_off.lines("job.started")) == 2)
            wait_for("the child", lambda: processes(marker))
            heir = self.node("heir", node=LEASE).ready()  # knows no "command": it must not run beside the old one
            proxy.black_hole()
            stopped = cut_off.wait_event("lease.stopping", 20)
            wait_for("the child to be gone", lambda: free_of(marker), 5, every=0.005)
            rescued = heir.wait_event("job.rescued", 20)
            self.assertLess(stopped["ts"], rescued["ts"])
            self.assertTrue(free_of(marker))
            started = [e for e in heir.lines("job.started") if e["job_type"] == "sleep"] or \
                [heir.wait_event("job.started", 30, job_type="sleep")]
            cut_off.wait_event("job.claim_lost", 10, job_type="sleep")
            lost = [e for e in cut_off.lines("job.claim_lost") if e["job_type"] == "sleep"]
            self.assertEqual(len(lost), 1, cut_off.tail())
            self.assertLess(lost[0]["ts"], started[0]["ts"])
            cut_off.kill()

    def test_a_frozen_node_writes_nothing_when_it_thaws_and_the_refusal_is_counted(self):
        frozen = self.node("frozen", node=LEASE).ready()
        self.enqueue("stubborn", payload='{"ms": 1000}')
        frozen.wait_event("job.started")
        frozen.signal(signal.SIGSTOP)
        heir = self.node("heir", node=LEASE).ready()
        heir.wait_event("job.rescued", 20)
        heir.wait_event("job.completed", 30)
        row = self.db.execute("SELECT status, attempts, crashes, claim_token FROM rowcrew.job_queue")
        frozen.signal(signal.SIGCONT)
        frozen.wait_event("job.claim_lost", 20)
        self.assertEqual(self.db.execute("SELECT status, attempts, crashes, claim_token FROM rowcrew.job_queue"), row)
        frozen.wait_event("node.ready", 20, node_id=3)  # declared dead, it registers anew
        self.enqueue("noop")
        self.wait_finished()
        self.assertEqual(frozen.stop()[0], 0)
        self.assertEqual(self.db.value("SELECT sum(claim_lost) FROM rowcrew.node_stat"), 1)

    def test_a_thousand_running_jobs_of_a_killed_node_run_elsewhere(self):
        queues = {"default": 1000}
        quiet = {"format": "json", "level": "warning"}
        victim = self.node("victim", queues=queues, log=quiet, node=LEASE)
        self.enqueue("sleep", 1000, '{"ms": 600000}')
        wait_for("all to run", lambda: self.db.counts() == {"processing": 1000}, 30)
        victim.kill()
        self.db.execute("UPDATE rowcrew.job_queue SET payload = '{\"ms\": 1}'")
        self.node("heir", queues=queues, log=quiet, node=LEASE)
        self.wait_finished(60)
        self.assertEqual(self.db.execute("SELECT status, attempts, crashes, count(*) FROM rowcrew.job_queue GROUP BY 1, 2, 3"),
                         [("completed", 1, 1, 1000)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
