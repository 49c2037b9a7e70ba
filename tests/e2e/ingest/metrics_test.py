#!/usr/bin/python3
"""The metrics endpoint of the ingest, on a listener that is not the public one."""
import contextlib
import pathlib
import signal
import socket
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import ingest_test  # noqa: E402
from support.exposition import ask, scrape  # noqa: E402
from support.fleet import wait_for  # noqa: E402


class Metrics(ingest_test.IngestTest):
    def measured(self, **env):
        ingest = self.start(env={"ROWCREW_METRICS_LISTEN": "127.0.0.1:0", **env})
        return ingest, ingest.event("metrics.listening")["port"]

    def test_requests_are_counted_by_status_and_refusals_by_reason(self):
        ingest, port = self.measured(ROWCREW_INGEST_MAX_BODY="1KiB")
        self.assertEqual(scrape(port)("rowcrew_ingest_requests_total"), 0)
        good = {"job_type": "mail", "payload": {}}
        for _ in range(3):
            self.assertEqual(self.post(ingest, good)[0], 202)
        self.assertEqual(self.post(ingest, good, Idempotency_Key="once")[0], 202)
        self.assertEqual(self.post(ingest, good, Idempotency_Key="once")[0], 202)
        self.assertEqual(self.post(ingest, good, key="rc_unknown")[0], 401)
        self.assertEqual(self.post(ingest, "{")[0], 400)
        self.assertEqual(self.post(ingest, {"job_type": "mail", "payload": {"x": "y" * 2000}})[0], 413)
        self.assertEqual(ingest.request("GET", "/nothing")[0], 404)
        for path in ("/healthz", "/readyz"):
            ingest.request("GET", path)
        metrics = scrape(port)
        for status, count in ((202, 5), (401, 1), (400, 1), (413, 1), (404, 1), (503, 0)):
            self.assertEqual(metrics("rowcrew_ingest_requests_total", status=str(status)), count, status)
        for reason, count in (("unauthorized", 1), ("bad_request", 1), ("body_too_large", 1), ("not_found", 1), ("unavailable", 0)):
            self.assertEqual(metrics("rowcrew_ingest_refused_total", reason=reason), count, reason)
        self.assertEqual(metrics("rowcrew_ingest_requests_total"), 9)
        self.assertEqual(metrics("rowcrew_ingest_duplicates_total"), 1)
        self.assertEqual(metrics("rowcrew_db_pool_size", pool="ingest"), 4)
        self.assertEqual(metrics("rowcrew_build_info"), 1)

    def test_the_public_port_does_not_tell_them(self):
        ingest, port = self.measured()
        self.assertEqual(ingest.request("GET", "/metrics")[0], 404)
        self.assertEqual(ask(port, "/v1/jobs", "POST")[0], 404)

    def test_readiness_follows_the_database_and_the_stop(self):
        ingest, port = self.measured()
        wait_for("readiness", lambda: ask(port, "/readyz")[0] == 200)
        self.db.execute(f"ALTER ROLE {self.login} NOLOGIN")
        self.end_sessions()
        wait_for("it to notice", lambda: ask(port, "/readyz")[::2] == (503, "database\n"))
        self.assertEqual(ask(port, "/healthz")[0], 200)
        wait_for("an error to be counted", lambda: scrape(port)("rowcrew_db_errors_total") >= 1)
        self.db.execute(f"ALTER ROLE {self.login} LOGIN")
        wait_for("it to be back", lambda: ask(port, "/readyz")[0] == 200)
        # Half a request holds up the stop, so that there is something to look at.
        with socket.create_connection(("127.0.0.1", ingest.port)) as half:
            half.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost:")
            ingest.process.send_signal(signal.SIGTERM)
            ingest.event("ingest.stopping")
            self.assertEqual(ask(port, "/readyz")[::2], (503, "draining\n"))
            scrape(port)
        self.assertEqual(ingest.process.wait(timeout=30), 0)

    def test_a_port_that_is_taken_is_named_at_start(self):
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            ingest = self.start(wait=False, env={"ROWCREW_METRICS_LISTEN": address})
            self.assertEqual(ingest.process.wait(timeout=30), 78)
            self.assertIn(f'rowcrew-ingest: metrics.listen: address "{address}" cannot be listened on', ingest.text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
