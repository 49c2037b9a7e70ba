#!/usr/bin/python3
"""Cancelling running jobs on real nodes: waits for HTTP answers, child programs, and handlers that do not listen.

ROWCREW_CANCEL_WAITS and ROWCREW_CANCEL_CHILDREN set how many run (90 and 20).
"""
import http.server
import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, FleetTest, processes, run, wait_for  # noqa: E402

WAITS = int(os.environ.get("ROWCREW_CANCEL_WAITS", "90"))
CHILDREN = int(os.environ.get("ROWCREW_CANCEL_CHILDREN", "20"))
MARK = "86399"  # seconds that our children sleep for, and nobody else's


class Silent:
    """A server that takes requests and never answers."""

    def __enter__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                try:
                    self.rfile.read(1)  # until the other side gives up
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 1024
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.server.server_address[1]

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()


class Cancel(FleetTest):
    def kinds(self, port):
        return {"http": {"allow": {"silent": {"url": f"http://127.0.0.1:{port}/", "method": "GET", "timeout": "1h"}}},
                "command": {"allow": {"sleep": {"argv": ["/bin/sleep", MARK], "timeout": "1h"}}}}

    def ended(self):
        return self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'cancelled'")

    def running(self):
        return self.db.value("SELECT count(*) FROM rowcrew.job_queue WHERE status = 'processing'")

    def cancel_everything(self, **settings):
        with Silent() as port:
            for i in range(2):
                self.node(f"n{i}", kinds=self.kinds(port), egress={"allow": [f"127.0.0.1:{port}"]},
                          queues={"default": (WAITS + CHILDREN) // 2 + 1}, **settings).ready()
            self.enqueue("http", WAITS, payload='{"entry": "silent"}')
            self.enqueue("command", CHILDREN, payload='{"entry": "sleep"}')
            wait_for("all of them to run", lambda: self.running() == WAITS + CHILDREN, 60)
            wait_for("the children to be there", lambda: len(processes(f"^/bin/sleep {MARK}")) == CHILDREN, 30)
            per_node = self.db.execute("SELECT count(*) FROM rowcrew.job_queue GROUP BY worker_id")
            self.assertEqual(len(per_node), 2)
            self.db.value("SELECT rowcrew.act_begin('cancel', '{\"all\": true}', 'a test')")
            number = self.db.value("SELECT max(id) FROM rowcrew.audit_logs")
            requested = self.db.value("SELECT requested FROM rowcrew.act_page(%s, 5000)", (number,))
            began = time.monotonic()
            self.assertEqual(requested, WAITS + CHILDREN)
            wait_for("every handler to end", lambda: self.ended() == WAITS + CHILDREN, 30, every=0.01)
            took = time.monotonic() - began
            wait_for("the children to be gone", lambda: not processes(f"^/bin/sleep {MARK}"), 10)
            wait_for("the requests to be cleared away",
                     lambda: self.db.value("SELECT count(*) FROM rowcrew.cancel_request") == 0, 15)
            wait_for("the claims to be cleared away",
                     lambda: self.db.value("SELECT count(*) FROM rowcrew.job_queue_claim") == 0, 15)
        print(f"cancelled {WAITS} waits and {CHILDREN} children on 2 nodes in {took * 1000:.0f} ms")
        return took

    def test_waits_and_children_on_two_nodes_end_within_a_second(self):
        self.assertLess(self.cancel_everything(), 1.0 + (WAITS + CHILDREN) / 1000)

    def test_without_listen_within_the_poll_and_a_second(self):
        self.assertLess(self.cancel_everything(node={"listen": False, "reconcile_every": "2s"}), 3.0 + (WAITS + CHILDREN) / 1000)

    def test_a_handler_that_does_not_listen_ends_as_cancelled_when_it_succeeds(self):
        node = self.node().ready()
        self.enqueue("stubborn", payload='{"ms": 1500}')
        node.wait_event("job.started")
        job = self.db.value("SELECT id FROM rowcrew.job_queue")
        done = run([BIN / "rowcrew", "--database", self.db.url, "cancel", job, "--reason", "no use"])
        self.assertEqual(done.stdout, "it runs: its node is told\n")
        node.wait_event("job.cancel_requested", job=job)
        why = run([BIN / "rowcrew", "--database", self.db.url, "why", job]).stdout
        self.assertRegex(why, r"^cancelled by \w+: no use, still running on node node \(.*\) since ")
        self.wait_finished(20)
        self.assertEqual(self.db.execute("SELECT status, error_code, attempts FROM rowcrew.job_queue"), [("cancelled", "cancelled", 1)])
        node.wait_event("job.cancelled", job=job)
        self.assertRegex(run([BIN / "rowcrew", "--database", self.db.url, "why", job]).stdout, r"^cancelled by \w+: no use at ")

    def test_a_success_that_overtakes_the_news_ends_as_cancelled(self):
        # The node learns nothing of the request before it writes the end: the statement finds it.
        node = self.node(node={"listen": False, "reconcile_every": "1m", "lease": "10m"}).ready()
        self.enqueue("sleep", payload='{"ms": 1000}')  # it looks for requests once before that has ended
        self.wait_finished(20)
        self.enqueue("sleep", payload='{"ms": 1500}')
        started = wait_for("the second to start", lambda: node.lines("job.started")[1:])[0]
        self.db.value("SELECT rowcrew.cancel(%s)", (started["job"],))
        self.wait_finished(20)
        self.assertEqual(self.db.counts(), {"completed": 1, "cancelled": 1})
        node.wait_event("job.cancelled", job=started["job"])
        self.assertEqual(len(node.lines("job.completed")), 1)
        node.stop()
        self.assertEqual(self.db.execute("SELECT sum(completed), sum(cancelled) FROM rowcrew.node_stat"), [(1, 1)])

    def test_a_job_whose_node_was_killed_is_not_run_again(self):
        first = self.node("first", node={"lease": "2s"}).ready()
        self.enqueue("sleep", payload='{"ms": 600000}')
        first.wait_event("job.started")
        first.kill()
        self.db.value("SELECT rowcrew.cancel(id) FROM rowcrew.job_queue")
        second = self.node("second", node={"lease": "2s"}).ready()
        wait_for("the job to end", lambda: self.db.counts() == {"cancelled": 1}, 30)
        self.assertEqual(second.lines("job.started"), [])

    def test_what_a_transaction_has_ended_stays_ended_whatever_was_asked_meanwhile(self):
        self.db.execute("CREATE SCHEMA shop; CREATE TABLE shop.sold (n int); CREATE FUNCTION shop.slow(args jsonb) RETURNS void "
                        "LANGUAGE sql AS $$ SELECT pg_sleep(1); INSERT INTO shop.sold VALUES (1) $$")
        node = self.node(kinds={"sql": {"allow": {"slow": {"function": "shop.slow"}}}}).ready()
        self.enqueue("sql", payload='{"entry": "slow"}')
        node.wait_event("job.started")
        wait_for("the function to run", lambda: self.db.value(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"), 20)
        self.assertEqual(self.db.value("SELECT rowcrew.cancel(id) FROM rowcrew.job_queue"), "requested")
        self.wait_finished()
        self.assertEqual(self.db.counts(), {"completed": 1})
        self.assertEqual(self.db.value("SELECT count(*) FROM shop.sold"), 1)
        node.wait_event("job.completed")
        self.assertEqual(node.lines("job.claim_lost"), [])

    def test_a_child_that_ignores_sigterm_is_gone_with_its_grandchildren(self):
        script = f"trap '' TERM; /bin/sleep {MARK} & wait; /bin/sleep {MARK}"
        kinds = {"command": {"allow": {"deaf": {"argv": ["/bin/sh", "-c", script], "timeout": "1h"}}}}
        node = self.node(kinds=kinds).ready()
        self.enqueue("command", payload='{"entry": "deaf"}')
        wait_for("the grandchild to be there", lambda: processes(f"^/bin/sleep {MARK}"), 20)
        self.db.value("SELECT rowcrew.cancel(id) FROM rowcrew.job_queue")
        began = time.monotonic()
        wait_for("all of them to be gone", lambda: not processes(f"sleep {MARK}"), 30)
        wait_for("the job to end", lambda: self.db.counts() == {"cancelled": 1}, 10)
        # Grace between SIGTERM and SIGKILL: a fifth of stop_within, 2 s here.
        self.assertLess(time.monotonic() - began, 6)
        self.assertEqual(node.stop()[0], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
