#!/usr/bin/python3
"""What a node takes, idle and with ten thousand jobs that wait for an answer."""
import asyncio
import pathlib
import resource
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from cluster import size  # noqa: E402
from support.fleet import FleetTest, wait_for  # noqa: E402

JOBS = 10_000
TLS_JOBS = size(1_000, 10_000)
PORTS = 4  # no more than half of all connections may go to one
IDLE_MB = 20
PLAIN_MB = 240  # 19 kB a job today, in a release build too; the aim is 150
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
# The certificates that libcurl trusts are the system's: others only in a file system of one's own.
TRUSTING = ["unshare", "--mount", "sh", "-c", f'mount --bind "$0" {TRUSTED} && exec "$@"']


class Server:
    """Takes requests on PORTS ports and answers none before release()."""

    def __init__(self, context=None):
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._released = None
        self.waiting = 0
        self.ports = []
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._up.wait()

    def release(self):
        self._loop.call_soon_threadsafe(self._released.set)

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._released = asyncio.Event()
        for _ in range(PORTS):
            server = self._loop.run_until_complete(asyncio.start_server(
                self._serve, "127.0.0.1", 0, backlog=4096, ssl=self._context,
                **({"ssl_handshake_timeout": 300} if self._context else {})))
            self.ports.append(server.sockets[0].getsockname()[1])
        self._up.set()
        self._loop.run_forever()

    async def _serve(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        self.waiting += 1
        await self._released.wait()
        writer.write(ANSWER)
        await writer.drain()
        writer.close()


def rss_mb(node):
    """(now, at its peak)"""
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{node.pid}/status").read_text().splitlines())
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def certificate(folder):
    key, pem = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", pem, "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return key, pem


class Memory(FleetTest):
    @classmethod
    def setUpClass(cls):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard < 14_000:
            raise unittest.SkipTest(f"RLIMIT_NOFILE: {hard}, expected 14000 at least")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def start(self, scheme, server, program="rowcrewd", prefix=()):
        allow = {f"wait{n}": {"method": "GET", "url": f"{scheme}://127.0.0.1:{port}/", "timeout": "20m"}
                 for n, port in enumerate(server.ports)}
        return self.node("memory", program=program, prefix=prefix, queues={"default": JOBS},
                         log={"format": "json", "level": "warning"}, egress={"allow": ["127.0.0.1"]},
                         kinds={"http": {"allow": allow}})

    def in_flight(self, node, server, jobs, within):
        self.db.execute("INSERT INTO rowcrew.job_type (name, timeout_ms) VALUES ('http', 1200000)")
        self.db.execute("INSERT INTO rowcrew.job_queue (job_type, payload) "
                        "SELECT 'http', jsonb_build_object('entry', 'wait' || n %% %s) FROM generate_series(1, %s) n",
                        (PORTS, jobs))
        wait_for(f"{jobs} requests to wait", lambda: server.waiting == jobs, within, every=0.1)
        measured = rss_mb(node)
        server.release()
        self.wait_finished(120)
        self.assertEqual(self.db.counts(), {"completed": jobs})
        return measured

    def test_ten_thousand_plain_requests_in_flight(self):
        server = Server()
        node = self.start("http", server)
        wait_for("the node", lambda: self.db.value("SELECT count(*) FROM rowcrew.node WHERE beat > 1"), 60)
        idle = rss_mb(node)[0]
        now, peak = self.in_flight(node, server, JOBS, 120)
        after = rss_mb(node)[0]
        server.stop()
        print(f"idle {idle:.1f} MB; {JOBS} jobs in flight on plain HTTP {now:.1f} MB (peak {peak:.1f}), "
              f"{(now - idle) * 1024 / JOBS:.1f} kB each; when they have ended {after:.1f} MB")
        self.assertLess(idle, IDLE_MB)
        self.assertLess(peak, PLAIN_MB)

    def test_jobs_that_have_ended_leave_nothing_behind(self):
        node = self.node("memory", queues={"default": 100}, log={"format": "json", "level": "warning"})
        self.enqueue("noop", 10_000)
        self.wait_finished(120)
        before = rss_mb(node)[0]
        self.enqueue("noop", 40_000)
        self.wait_finished(240)
        after = rss_mb(node)[0]
        print(f"{before:.1f} MB after 10,000 jobs, {after:.1f} MB after 50,000")
        self.assertLess(after - before, 8)  # 200 bytes a job

    def test_the_figure_with_tls_beside_it(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            key, pem = certificate(folder)
            if subprocess.run([*TRUSTING, pem, "true"], capture_output=True).returncode != 0:
                self.skipTest("no file system of one's own may be had (unshare --mount)")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem, key)
            server = Server(context)
            node = self.start("https", server, prefix=(*TRUSTING, str(pem)))
            wait_for("the node", lambda: self.db.value("SELECT count(*) FROM rowcrew.node WHERE beat > 1"), 60)
            idle = rss_mb(node)[0]
            now, peak = self.in_flight(node, server, TLS_JOBS, 900)
            server.stop()
            print(f"{TLS_JOBS} jobs in flight over TLS {now:.1f} MB (peak {peak:.1f}), idle {idle:.1f} MB: "
                  f"{(now - idle) * 1024 / TLS_JOBS:.1f} kB each")


if __name__ == "__main__":
    unittest.main(verbosity=2)
