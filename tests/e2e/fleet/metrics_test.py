#!/usr/bin/python3
"""The metrics endpoint of a real node: what it counts, while it works, while it stops and while the database is away."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.exposition import Metrics, ask, scrape  # noqa: E402
from support.fleet import BIN, SOURCE, FleetTest, run, wait_for  # noqa: E402
from support.proxy import Proxy  # noqa: E402

ANY_PORT = {"listen": "127.0.0.1:0"}


class Endpoint(FleetTest):
    def measured(self, name="measured", **settings):
        node = self.node(name, metrics=ANY_PORT, **settings)
        node.port = node.wait_event("metrics.listening")["port"]
        return node

    def settled(self, node, name, wanted, **labels):
        """The end of a job is counted once its row says so."""
        def reached():
            metrics = scrape(node.port)
            with contextlib.suppress(KeyError):
                return metrics(name, **labels) >= wanted and metrics
        return wait_for(f"{name} {labels} to be {wanted}", reached, 20)

    def test_counters_agree_with_the_jobs_that_ran(self):
        node = self.measured().ready()
        before = scrape(node.port)
        self.assertEqual(before("rowcrew_jobs_started_total", queue="default", kind="noop"), 0)  # it begins with its zero
        self.assertEqual(before("rowcrew_worker_slots", queue="default"), 8)
        self.enqueue("noop", 500)
        self.enqueue("fail", 7)
        self.enqueue("flaky", 5, '{"fail": 2}')
        scrapes = 0
        while self.db.unfinished():
            scrape(node.port)  # parses while they run
            scrapes += 1
        metrics = self.settled(node, "rowcrew_jobs_finished_total", 500 + 7 + 15)
        print(f"{scrapes} scrapes while 522 executions ran")
        for kind, outcome, count in (("noop", "completed", 500), ("fail", "failed", 7), ("flaky", "retried", 10), ("flaky", "completed", 5)):
            self.assertEqual(metrics("rowcrew_jobs_finished_total", queue="default", kind=kind, outcome=outcome), count, (kind, outcome))
        self.assertEqual(metrics("rowcrew_jobs_finished_total"), 522)
        self.assertEqual(metrics("rowcrew_jobs_started_total"), 522)
        self.assertEqual(metrics("rowcrew_jobs_claimed_total"), 522)
        self.assertEqual(metrics("rowcrew_job_run_seconds_count"), 522)
        self.assertEqual(metrics("rowcrew_job_wait_seconds_count", queue="default"), 522)
        self.assertEqual(metrics("rowcrew_jobs_running"), 0)
        self.assertGreaterEqual(metrics("rowcrew_claim_seconds_count", table="job_queue"), 1)
        self.assertGreaterEqual(metrics("rowcrew_lease_renewals_total", result="ok"), 1)
        self.assertEqual(metrics("rowcrew_listen_reconnects_total"), 0)
        self.assertEqual(metrics("rowcrew_db_pool_size", pool="engine"), 4)
        self.assertEqual(metrics("rowcrew_build_info"), 1)
        self.assertGreater(metrics("process_cpu_seconds_total"), 0)
        self.db.execute("SELECT pg_notify('rowcrew_command', 'pause')")
        self.settled(node, "rowcrew_notify_received_total", metrics("rowcrew_notify_received_total") + 1)

    def test_a_job_that_waited_counts_for_how_long_by_the_clock_of_the_database(self):
        self.enqueue("noop")
        self.db.execute("UPDATE rowcrew.job_queue_ready SET run_at = run_at - interval '20 s'")
        node = self.measured().ready()
        metrics = self.settled(node, "rowcrew_jobs_finished_total", 1)
        self.assertEqual(metrics("rowcrew_job_wait_seconds_bucket", queue="default", le="10"), 0)
        self.assertEqual(metrics("rowcrew_job_wait_seconds_count", queue="default"), 1)
        self.assertAlmostEqual(metrics("rowcrew_job_wait_seconds_sum", queue="default"), 20, delta=10)

    def test_it_answers_while_the_node_drains_and_says_so(self):
        node = self.measured(node={"stop_within": "1m"}).ready()
        wait_for("it to be ready", lambda: ask(node.port, "/readyz")[0] == 200)
        self.enqueue("sleep", payload='{"ms": 600000}')
        node.wait_event("job.started")
        self.assertEqual(scrape(node.port)("rowcrew_jobs_running", queue="default"), 1)
        node.signal(signal.SIGTERM)
        node.wait_event("node.stopping")
        self.assertEqual(ask(node.port, "/readyz")[::2], (503, "draining\n"))
        self.assertEqual(ask(node.port, "/healthz")[0], 200)
        self.assertEqual(scrape(node.port)("rowcrew_jobs_running", queue="default"), 1)
        node.signal(signal.SIGTERM)
        self.assertEqual(node.exited(20), 0, node.tail())
        with self.assertRaises(ConnectionRefusedError):
            ask(node.port, "/metrics")

    def test_a_client_that_has_sent_half_a_request_does_not_hold_up_a_stop(self):
        node = self.measured().ready()
        with socket.create_connection(("127.0.0.1", node.port)) as half, socket.create_connection(("127.0.0.1", node.port)):
            half.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
            code, seconds = node.stop(20)
        print(f"stopped in {seconds:.1f} s beside half a request")
        self.assertEqual(code, 0, node.tail())
        self.assertLess(seconds, 8)

    def test_without_the_database_it_answers_and_is_not_ready(self):
        with Proxy(self.db.url) as proxy:
            node = self.measured(url=proxy.url, node={"lease": "3s"}, database={"connect_timeout": "1s"}).ready()
            wait_for("it to be ready", lambda: ask(node.port, "/readyz")[0] == 200)
            proxy.black_hole()
            wait_for("it to notice", lambda: ask(node.port, "/readyz")[0] == 503, 30)
            self.assertIn(ask(node.port, "/readyz")[2], ("database\n", "lease\n"))
            self.assertEqual(ask(node.port, "/healthz")[0], 200)
            self.settled(node, "rowcrew_db_errors_total", 1, sqlstate_class="08")
            self.settled(node, "rowcrew_lease_renewals_total", 1, result="error")
            proxy.restore()
            wait_for("it to be back", lambda: ask(node.port, "/readyz")[0] == 200, 30)
            self.settled(node, "rowcrew_listen_reconnects_total", 1)
            self.enqueue("noop", 3)
            self.settled(node, "rowcrew_jobs_finished_total", 3, outcome="completed")

    def test_before_the_database_has_answered_it_is_there_and_not_ready(self):
        with Proxy(self.db.url) as proxy:
            proxy.black_hole()
            node = self.measured(url=proxy.url, database={"connect_timeout": "1s"})
            self.assertEqual(ask(node.port, "/readyz")[::2], (503, "database\n"))
            self.assertEqual(ask(node.port, "/healthz")[0], 200)
            self.assertEqual(scrape(node.port)("rowcrew_jobs_claimed_total"), 0)
            proxy.restore()
            wait_for("it to be ready", lambda: ask(node.port, "/readyz")[0] == 200, 30)

    def test_a_claim_that_was_lost_is_counted_as_lost(self):
        node = self.measured(node={"lease": "3s"}).ready()
        self.enqueue("sleep", payload='{"ms": 2000}')
        node.wait_event("job.started")
        self.db.execute("UPDATE rowcrew.job_queue SET claim_token = claim_token + 1")
        metrics = self.settled(node, "rowcrew_jobs_finished_total", 1)
        self.assertEqual(metrics("rowcrew_jobs_finished_total", kind="sleep", outcome="claim_lost"), 1)

    def test_methods_and_paths(self):
        node = self.measured().ready()
        status, headers, body = ask(node.port, "/metrics", "HEAD")
        self.assertEqual((status, body), (200, ""))
        self.assertGreater(int(headers["Content-Length"]), 1000)
        self.assertEqual(ask(node.port, "/metrics", "POST")[0], 405)
        self.assertEqual(ask(node.port, "/v1/jobs")[0], 404)
        self.assertEqual(ask(node.port, "/")[0], 404)

    def test_a_queue_with_a_strange_name_is_told_as_it_is(self):
        queue = 'a"b\\c\nd'
        node = self.measured(queues={queue: 2, "other": 3}).ready()
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, queue) VALUES ('noop', %s)", (queue,))
        metrics = self.settled(node, "rowcrew_jobs_finished_total", 1, queue=queue, kind="noop", outcome="completed")
        self.assertEqual(metrics("rowcrew_worker_slots", queue="other"), 3)

    def test_nothing_is_opened_unless_it_is_asked_for(self):
        node = self.node("unmeasured").ready()
        self.assertEqual(node.lines("metrics.listening"), [])
        sockets = {os.readlink(f"/proc/{node.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{node.pid}/fd")}
        listening = [line.split() for line in pathlib.Path(f"/proc/{node.pid}/net/tcp").read_text().splitlines() if " 0A " in line]
        self.assertFalse([entry for entry in listening if f"socket:[{entry[9]}]" in sockets])


class Refusals(FleetTest):
    def test_a_port_that_is_taken_is_named_at_start(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            node = self.node("late", metrics={"listen": address})
            self.assertEqual(node.exited(20), 78, node.tail())
            self.assertIn(f'rowcrewd: metrics.listen: address "{address}" cannot be listened on', node.tail())
            # It ends soon, and has the file of a node that runs.
            self.enqueue("command", payload='{"entry": "none"}')
            done = run([BIN / "rowcrew", "work", "--until-empty", "--config", node.config_path])
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_address_that_is_none_is_refused_by_check_config(self):
        node = self.node("wrong", metrics={"listen": "9464"})
        self.assertEqual(node.exited(20), 78, node.tail())
        done = run([BIN / "rowcrewd", "--check-config", "--config", node.config_path], check=False)
        self.assertEqual(done.returncode, 78)
        self.assertEqual(done.stderr, 'rowcrewd: metrics.listen: address "9464" is malformed, expected host:port, [::1]:port or unix:/path\n')


class Names(FleetTest):
    NAME = re.compile(r"\b(?:rowcrew|process)_[a-z_]+\b")

    def known(self):
        """Names of what nodes and ingest export now, and of what `rowcrew status --prometheus` may."""
        node = self.node("named", metrics=ANY_PORT)
        node.port = node.wait_event("metrics.listening")["port"]
        node.ready()
        self.enqueue("noop")
        wait_for("a claim", lambda: "rowcrew_claim_seconds" in scrape(node.port).types, 20)
        exported = set(scrape(node.port).types)
        ours = {k: v for k, v in os.environ.items() if not k.startswith("ROWCREW_")}
        with subprocess.Popen([BIN / "rowcrew-ingest", "--log", "json"], stdout=subprocess.PIPE, text=True, env={
                **ours, "ROWCREW_DATABASE_URL": self.db.url, "ROWCREW_INGEST_LISTEN": "127.0.0.1:0",
                "ROWCREW_METRICS_LISTEN": "127.0.0.1:0"}) as ingest:
            try:
                said = next(line for line in map(json.loads, ingest.stdout) if line["event"] == "metrics.listening")
                exported |= set(scrape(said["port"]).types)
            finally:
                ingest.kill()
        status = set(re.findall(r'MetricFamily \w+\("(\w+)"', (SOURCE / "src/cli/status_metrics.cpp").read_text()))
        self.assertIn("rowcrew_nodes", status)
        return exported, status

    def named_in(self, path):
        text = (SOURCE / path).read_text()
        return {name for name in self.NAME.findall(text) if name not in ("rowcrew_viewer", "rowcrew_owner", "rowcrew_app",
                "rowcrew_worker", "rowcrew_ingest", "rowcrew_operator", "rowcrew_queue_")}

    def test_what_manual_alerts_and_dashboard_name_is_exported_and_the_other_way_round(self):
        exported, status = self.known()
        self.assertEqual((exported | status) - self.named_in("docs/operations.md"), set())
        for path in ("docs/operations.md", "etc/monitoring/rowcrew.rules.yaml", "etc/monitoring/grafana.json"):
            named = {re.sub("_(bucket|count|sum)$", "", name) for name in self.named_in(path)}
            self.assertEqual(named - exported - status, set(), path)
        dashboard = json.loads((SOURCE / "etc/monitoring/grafana.json").read_text())
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))


class Parser(unittest.TestCase):
    def test_it_refuses_what_a_scrape_would_not_survive(self):
        head = "# HELP a_total A.\n# TYPE a_total counter\n"
        self.assertEqual(Metrics(head + 'a_total{b="\\"\\\\\\n"} 1\n')("a_total", b='"\\\n'), 1)
        for text in (head + "a_total 1", head + "a_total 1\na_total 2\n", "a_total 1\n", head + 'a_total{b="\n"} 1\n',
                     head + 'a_total{b="\\x"} 1\n', head + "a_total one\n", head + "b_total 1\n", head + "a_total 1\n" + head):
            with self.assertRaises(ValueError, msg=text):
                Metrics(text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
