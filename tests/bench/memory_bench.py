#!/usr/bin/python3
"""Memory of one rowcrewd with many jobs in flight, each waiting for an HTTP answer.

    memory_bench.py --bin build/release/bin [--jobs 10000] [--tls]

Starts a PostgreSQL of its own (lab.py says what that needs), a local server in processes of its own that answers nobody
until all have asked, and one rowcrewd whose only work is kind http. RSS when idle, with all jobs in flight, and its peak;
then all are answered, and every job must have completed. Needs descriptors: ulimit -n of 2.7 times the jobs for the node,
which gives three quarters to transfers and half of those to one host and port; the jobs are spread over four ports.
--tls: the same over HTTPS. The node must trust the server's certificate, so it sees other root certificates, in a mount
namespace of its own (root only).
"""
import asyncio
import multiprocessing
import os
import pathlib
import resource
import ssl
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from lab import Lab, memory_mb, options, rows, table, wait_for  # noqa: E402

PORTS = 4
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ROOTS = "/etc/ssl/certs/ca-certificates.crt"


def serve(port_out, asked, release, certificate):
    """One listening port: takes requests, answers when `release` is set, also those that come later."""
    async def main():
        open_now = asyncio.Event()

        async def handle(reader, writer):
            try:
                await reader.readuntil(b"\r\n\r\n")
                with asked.get_lock():
                    asked.value += 1
                await open_now.wait()
                writer.write(ANSWER)
                await writer.drain()
            except (OSError, asyncio.IncompleteReadError):
                pass
            writer.close()

        context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context, backlog=4096, ssl_handshake_timeout=60 if context else None)
        port_out.send(server.sockets[0].getsockname()[1])
        while not release.is_set():
            await asyncio.sleep(0.1)
        open_now.set()
        await asyncio.sleep(3600)

    asyncio.run(main())


class LateServer:
    def __init__(self, lab, certificate):
        self.asked, self.release, self.ports, self.processes = multiprocessing.Value("i", 0), multiprocessing.Event(), [], []
        for _ in range(PORTS):
            here, there = multiprocessing.Pipe()
            process = multiprocessing.Process(target=serve, args=(there, self.asked, self.release, certificate), daemon=True)
            process.start()
            lab.stack.callback(process.kill)
            self.ports.append(here.recv())


def make_certificate(lab):
    key, certificate = lab.home / "key.pem", lab.home / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    roots = lab.home / "roots.pem"
    roots.write_text(pathlib.Path(ROOTS).read_text() + certificate.read_text())
    return (str(certificate), str(key)), ("unshare", "--mount", "sh", "-c", f'mount --bind {roots} {ROOTS} && exec "$@"', "sh")


def node_config(scheme, ports, slots):
    entries = {f"late{k}": {"method": "GET", "url": f"{scheme}://127.0.0.1:{port}/{{id}}", "timeout": "30m"} for k, port in enumerate(ports)}
    return {"node": {"name": "memory", "tables": ["job_queue"]}, "queues": {"default": slots},
            "egress": {"allow": [f"127.0.0.1:{port}" for port in ports]}, "kinds": {"http": {"allow": entries}}}


def main():
    p = options(__doc__)
    p.add_argument("--jobs", type=int, default=10_000)
    p.add_argument("--tls", action="store_true")
    opt = p.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, int(opt.jobs * 2.7) + 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with Lab(opt.bin) as lab:
        certificate, prefix = make_certificate(lab) if opt.tls else (None, ())
        server = LateServer(lab, certificate)
        connection = lab.create()
        rows(connection, "INSERT INTO rowcrew.job_type (name, timeout_ms) VALUES ('http', 3600000)"
                         " ON CONFLICT (name) DO UPDATE SET timeout_ms = excluded.timeout_ms")
        node = lab.node("bench", node_config("https" if opt.tls else "http", server.ports, min(10_000, opt.jobs)), "memory", prefix)
        time.sleep(5)
        idle = memory_mb(node.pid)
        began = time.monotonic()
        rows(connection, "INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'http', jsonb_build_object('entry',"
                         " 'late' || i %% %s, 'args', jsonb_build_object('id', i)) FROM generate_series(1, %s) i", (PORTS, opt.jobs))
        wait_for(f"all {opt.jobs} requests", lambda: server.asked.value >= opt.jobs or node.poll() is not None, 300)
        taken = time.monotonic() - began
        running = rows(connection, "SELECT count(*) FROM rowcrew.job_queue WHERE status = 'processing'")[0][0]
        sockets = len(os.listdir(f"/proc/{node.pid}/fd"))
        time.sleep(2)
        in_flight = memory_mb(node.pid)
        server.release.set()
        wait_for("all to complete", lambda: rows(connection, "SELECT count(*) FROM rowcrew.job_queue WHERE status <> 'completed'")[0][0] == 0, 300)
        peak = memory_mb(node.pid, "VmHWM")
        time.sleep(3)
        after = memory_mb(node.pid)
    table(["figure", "value"], [
        ("transport", "TLS" if opt.tls else "plain"), ("jobs in flight at once", f"{running:,}"),
        ("descriptors of the node", f"{sockets:,}"), ("seconds until all were", f"{taken:.1f}"),
        ("RSS idle, MB", f"{idle:.1f}"), ("RSS with all in flight, MB", f"{in_flight:.1f}"),
        ("bytes of RSS per job in flight", f"{(in_flight - idle) * 1048576 / opt.jobs:,.0f}"),
        ("RSS peak, MB", f"{peak:.1f}"), ("RSS afterwards, MB", f"{after:.1f}")])


if __name__ == "__main__":
    main()
