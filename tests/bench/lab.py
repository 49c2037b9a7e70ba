"""A throw-away PostgreSQL, nodes on it, and what they cost: the ground of the measuring programs here.

The server is a new one on a unix socket with fsync and synchronous_commit on, pg_stat_statements counting, and no
checkpoint that is not asked for. Needs the server's programs (BENCH_PGBIN, default /usr/lib/postgresql/15/bin),
psycopg2, and --bin: a release build that was configured with -DROWCREW_BENCH=ON. As root the server runs as the system
user postgres.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import psycopg2

PGBIN = pathlib.Path(os.environ.get("BENCH_PGBIN", "/usr/lib/postgresql/15/bin"))
TICK = os.sysconf("SC_CLK_TCK")
SETTINGS = {
    "listen_addresses": "''", "shared_buffers": "'1GB'", "max_wal_size": "'16GB'", "min_wal_size": "'4GB'",
    "checkpoint_timeout": "'1h'", "max_connections": "200", "fsync": "on", "synchronous_commit": "on",
    "shared_preload_libraries": "'pg_stat_statements'", "pg_stat_statements.track": "'top'", "log_min_messages": "'error'",
    "log_line_prefix": "'%p '",
}


def options(description):
    """The parser with what every program here takes."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", type=pathlib.Path, default=os.environ.get("ROWCREW_BENCH_BIN"), help="the build's bin folder")
    return p


# ------------------------------------------------------------------- figures

def percentile(values, share):
    v = sorted(values)
    return v[min(len(v) - 1, int(len(v) * share))] if v else float("nan")


def spread(values, digits=0):
    """median (smallest..largest)"""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"


def table(head, rows):
    cells = [head, *[[str(c) for c in row] for row in rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    for row in cells:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip())


# ----------------------------------------------------------------- processes

def _fields(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def _children(pid):
    return [int(c) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]


def _on_cpu_ns(pid):
    """From the scheduler, all threads that live."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


class Cpu:
    """CPU of processes and their children since this object was made, in seconds. The living are read from the
    scheduler's statistics; children that ended meanwhile (autovacuum) from what their parent has reaped, to 10 ms."""

    def __init__(self, pids):
        self.pids = list(pids)
        self.start = self._now()

    def _now(self):
        total = 0.0
        for pid in self.pids:
            reaped = _fields(pid)
            total += _on_cpu_ns(pid) / 1e9 + (int(reaped[13]) + int(reaped[14])) / TICK
            for child in _children(pid):
                with contextlib.suppress(OSError):
                    total += _on_cpu_ns(child) / 1e9
        return total

    def seconds(self):
        return self._now() - self.start


def memory_mb(pid, field="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def wait_for(what, check, within=60.0, every=0.02):
    end = time.monotonic() + within
    while not check():
        if time.monotonic() > end:
            raise SystemExit(f"waited {within:.0f} s in vain for {what}")
        time.sleep(every)


class Worker:
    """rowcrew-bench-worker or rowcrew-bench-enqueue: says READY, takes a line, writes times to a file (harness/protocol.hpp)."""

    def __init__(self, lab, program, database, more=None, prefix=()):
        self.out = lab.home / f"{program}.{time.monotonic_ns()}"
        environment = {**os.environ, **lab.environment(database), "BENCH_OUT": str(self.out), **(more or {})}
        self.process = subprocess.Popen([*prefix, str(lab.bin / program)], env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.handled, self.ready, self.ended = 0, threading.Event(), threading.Event()
        lab.stack.callback(self.stop)
        threading.Thread(target=self._read, daemon=True).start()
        if not self.ready.wait(30):
            raise SystemExit(f"{program} did not say READY")

    def _read(self):
        for line in self.process.stdout:
            word, *numbers = line.split()
            if word == "READY":
                self.ready.set()
            elif word == "P":
                self.handled = int(numbers[0])
        self.ended.set()

    def go(self):
        self.process.stdin.write("GO\n")
        self.process.stdin.flush()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)
        self.ended.wait(5)

    def times(self):
        """job -> [microseconds, …]"""
        with self.out.open() as lines:
            return {int(job): [float(t) for t in rest] for job, *rest in (line.split() for line in lines)}


# ----------------------------------------------------------------- the server

class Lab:
    """with Lab(bin) as lab: … The server and everything that was started on it end with the block."""

    def __init__(self, programs):
        if not programs or not (pathlib.Path(programs) / "rowcrew").is_file():
            raise SystemExit(f"--bin: {programs}, expected the bin folder of a release build")
        self.bin = pathlib.Path(programs).resolve()
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-lab-"))
        self.stack.callback(shutil.rmtree, self.home, True)
        self.home.chmod(0o755)
        self.root = self.home / "pg"
        self.root.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.root, "postgres", "postgres")
        data = self.root / "data"
        self._server("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync")
        settings = {**SETTINGS, "unix_socket_directories": f"'{self.root}'"}
        with (data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{k} = {v}\n" for k, v in settings.items())
        self._server("pg_ctl", "-D", str(data), "-l", str(self.root / "log"), "-w", "start")
        self.stack.callback(self._server, "pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        self.log = self.root / "log"
        self.postmaster = int((data / "postmaster.pid").read_text().split()[0])
        return self

    def __exit__(self, *error):
        self.stack.close()

    def _server(self, program, *args):
        argv = [str(PGBIN / program), *args]
        if os.geteuid() == 0:
            argv = ["runuser", "-u", "postgres", "--", *argv]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=120)

    def environment(self, database):
        return {"PGHOST": str(self.root), "PGPORT": "5432", "PGUSER": "postgres", "PGDATABASE": database}

    def url(self, database):
        return f"postgresql://postgres@/{database}?host={self.root}"

    def connect(self, database):
        """Not counted by pg_stat_statements."""
        connection = psycopg2.connect(self.url(database))
        self.stack.callback(connection.close)
        connection.autocommit = True
        connection.cursor().execute("SET pg_stat_statements.track = 'none'")
        return connection

    def create(self, database="bench"):
        """A new database with the schema; returns a connection to it."""
        with contextlib.closing(psycopg2.connect(self.url("postgres"))) as admin:
            admin.autocommit = True
            admin.cursor().execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
            admin.cursor().execute(f'CREATE DATABASE "{database}" TEMPLATE template0')
        subprocess.run([str(self.bin / "rowcrew"), "--database", self.url(database), "migrate"], check=True,
                       stdout=subprocess.DEVNULL)
        connection = self.connect(database)
        connection.cursor().execute("CREATE EXTENSION pg_stat_statements; CHECKPOINT")
        return connection

    def node(self, database, config, name, prefix=()):
        """A rowcrewd with that configuration, once it is ready."""
        path, log = self.home / f"{name}.json", self.home / f"{name}.log"
        path.write_text(json.dumps({"database": {"url": self.url(database)}, "log": {"format": "json"}, **config}))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ROWCREW_")}
        with log.open("wb") as out:
            process = subprocess.Popen([*prefix, str(self.bin / "rowcrewd"), "--config", str(path)], stdout=out,
                                       stderr=subprocess.STDOUT, env=environment)

        def stop():
            process.terminate()
            process.wait(40)

        self.stack.callback(stop)
        wait_for(f"node {name}", lambda: process.poll() is not None or '"node.ready"' in log.read_text(errors="replace"))
        if process.poll() is not None:
            raise SystemExit(f"node {name} ended:\n{log.read_text(errors='replace')[-2000:]}")
        return process


def rows(connection, sql, args=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchall() if cursor.description else []
