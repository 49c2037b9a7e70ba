"""A private database and a fleet of real nodes on it, for end-to-end tests.

Nothing here sleeps for a fixed time: wait_for() polls an observable state up to a deadline.
"""
import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.parse

import psycopg2
import psycopg2.extensions

BIN = pathlib.Path(os.environ["ROWCREW_BIN"])
SOURCE = pathlib.Path(os.environ["ROWCREW_SOURCE"])
URL = os.environ["ROWCREW_TEST_DATABASE_URL"]
_serial = itertools.count(1)


def with_database(url, name):
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(path="/" + name))


def with_user(url, name):
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit(parts._replace(netloc=f"{name}@{host}"))


def wait_for(what, check, within=30.0, every=0.02):
    """Returns the first truthy value of check(); fails the test with `what` after `within` seconds."""
    end = time.monotonic() + within
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {within:.0f} s in vain for {what}")
        time.sleep(every)


class Database:
    def __init__(self, migrate=True):
        self.name = f"rowcrew_e2e_{os.getpid()}_{next(_serial)}"
        with contextlib.closing(psycopg2.connect(URL)) as admin:
            admin.autocommit = True
            admin.cursor().execute(f'CREATE DATABASE "{self.name}"')
        self.url = with_database(URL, self.name)
        if migrate:
            run([BIN / "rowcrew", "--database", self.url, "migrate"])
        self.connection = psycopg2.connect(self.url)
        self.connection.autocommit = True
        if migrate:
            # A job that comes by the clock (at 23 past the hour, at 2 in the night) is no test's own.
            self.execute("UPDATE rowcrew.schedule SET enabled = false")

    def execute(self, sql, args=None):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall() if cursor.description else []

    def value(self, sql, args=None):
        return self.execute(sql, args)[0][0]

    def counts(self, table="job_queue"):
        return dict(self.execute(f"SELECT status, count(*) FROM rowcrew.{table} GROUP BY 1"))

    def unfinished(self, table="job_queue"):
        return self.value(
            f"SELECT count(*) FROM rowcrew.{table} WHERE status IN ('pending', 'processing', 'retrying')")

    def drop(self):
        self.connection.close()
        with contextlib.closing(psycopg2.connect(URL)) as admin:
            admin.autocommit = True

            def dropped():
                # An autovacuum worker in there belongs to the superuser: we may not end it, but it ends.
                try:
                    admin.cursor().execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
                    return True
                except psycopg2.errors.InsufficientPrivilege:
                    return False

            wait_for(f"database {self.name} to be dropped", dropped, 20, every=0.1)


def run(command, check=True, within=60, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=within, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


class Node:
    """One rowcrewd (with the tests' handlers unless program says otherwise)."""

    def __init__(self, db, name="node", program="rowcrew-test-node", fault=None, url=None, env=None, prefix=(), **settings):
        self.log_path = pathlib.Path(tempfile.mkstemp(prefix=f"rowcrew-{name}-", suffix=".log")[1])
        self.config_path = self.log_path.with_suffix(".json")
        config = {
            "database": {"url": url or db.url},
            "node": {"name": name, "lease": "30s", "stop_within": "10s", "poll_every": "1s"},
            "queues": {"default": 8, "generation": 4},
            "log": {"format": "json"},
        }
        for section, values in settings.items():
            config.setdefault(section, {}).update(values)
            if section == "queues":
                config[section] = values
        self.config_path.write_text(json.dumps(config))  # JSON is YAML
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ROWCREW_")}
        for sanitizer in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            if sanitizer in os.environ:
                environment[sanitizer] = os.environ[sanitizer]
        if fault:
            environment["ROWCREW_FAULT"] = fault
        environment.update(env or {})
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, str(BIN / program), "--config", str(self.config_path)], stdout=log,
                stderr=subprocess.STDOUT, env=environment)

    @property
    def pid(self):
        return self.process.pid

    def lines(self, event=None):
        found = []
        for line in self.log_path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if event is None or entry.get("event") == event:
                    found.append(entry)
        return found

    def wait_event(self, event, within=30.0, **fields):
        def seen():
            if self.process.poll() is not None and not matching():
                raise AssertionError(f"node ended with {self.process.returncode} before {event}:\n{self.tail()}")
            return matching()

        def matching():
            return [e for e in self.lines(event) if all(str(e.get(k)) == str(v) for k, v in fields.items())]

        return wait_for(f"{event} {fields}", seen, within)[0]

    def ready(self, within=30.0):
        self.wait_event("node.ready", within)
        return self

    def wait_lines(self, event, count=1, within=30.0):
        """So many lines or more: the log has a thread of its own, a line comes some time after what it tells of."""
        def found():
            lines = self.lines(event)
            return len(lines) >= count and lines

        return wait_for(f"{count} of {event}", found, within)

    def tail(self, lines=40):
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, within=20.0):
        """SIGTERM; returns (exit code, seconds)."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=within)
        return code, time.monotonic() - began

    def exited(self, within=30.0):
        return self.process.wait(timeout=within)

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.log_path.unlink(missing_ok=True)
        self.config_path.unlink(missing_ok=True)


class Stage:
    """A database and the nodes on it, gone with the end of the block: for tests that run many side by side."""

    def __init__(self):
        self.db = Database()
        self.nodes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.close()
        self.db.drop()


class FleetTest(unittest.TestCase):
    """Each test has a database of its own; nodes end with the test."""

    def setUp(self):
        self.db = Database()
        self.nodes = []

    def tearDown(self):
        result = getattr(self._outcome, "result", None)
        failed = any(error for _, error in getattr(self._outcome, "errors", []) or []) or \
            bool(getattr(result, "failures", None) or getattr(result, "errors", None))
        for node in self.nodes:
            if failed:
                print(f"--- {node.log_path.name}\n{node.tail()}")
            node.close()
        self.db.drop()

    def node(self, *args, **settings):
        node = Node(self.db, *args, **settings)
        self.nodes.append(node)
        return node

    def enqueue(self, job_type, n=1, payload="{}", table="job_queue", column="job_type"):
        self.db.execute(
            f"INSERT INTO rowcrew.{table} ({column}{', payload' if table == 'job_queue' else ''}) "
            f"SELECT %s{', %s::jsonb' if table == 'job_queue' else ''} FROM generate_series(1, %s)",
            (job_type, payload, n) if table == "job_queue" else (job_type, n))

    def wait_finished(self, within=60.0, table="job_queue"):
        wait_for(f"every job of {table} to end: {self.db.counts(table)}",
                 lambda: self.db.unfinished(table) == 0, within)


def free_of(pattern):
    """Whether no process's command line matches."""
    return not processes(pattern)


def processes(pattern):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if re.search(pattern, line) and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
    return found
