#!/usr/bin/python3
"""Behind somebody who ends TLS for the server: no answer may be left lying between TLS and libpq."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.certificates import Authority  # noqa: E402
from support.fleet import FleetTest  # noqa: E402
from support.tls_proxy import TlsProxy  # noqa: E402

JOBS = 2000


class Tls(FleetTest):
    def test_claims_of_many_records_arrive_whole(self):
        # Payloads of several sizes, so that the answers end everywhere in a record.
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload) "
                        "SELECT 'sleep', jsonb_build_object('ms', 20, 'x', repeat('a', 2000 + (i * 37) %% 5000)) "
                        "FROM generate_series(1, %s) i", (JOBS,))
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Authority(pathlib.Path(folder)).issue("server", "localhost")
            with TlsProxy(self.db.url, certificate, key) as proxy:
                node = self.node(url=proxy.url, queues={"default": 24}, database={"statement_timeout": "5s"})
                self.wait_finished(100)
                self.assertEqual(self.db.counts(), {"completed": JOBS})
                self.assertEqual(node.lines("claim.reconciled"), [], "an answer did not arrive")
                self.assertEqual(node.stop()[0], 0)


if __name__ == "__main__":
    unittest.main()
