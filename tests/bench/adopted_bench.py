#!/usr/bin/python3
"""What adoption costs the application, how long it locks, and how fast adopted tables are claimed from.

Usage: adopted_bench.py overhead|lock|claims [--seconds N] [--rounds N] [--rows N]

  overhead  single-row INSERT, and UPDATE of a column that is none of the job's, 4 connections: with and
            without adoption, interleaved; medians and their ratio
  lock      adopt on a table of --rows rows under that load: the longest lock and the slowest statement
  claims    --rows jobs through the claim and finish statements: rowcrew.job_queue, an adopted table of
            the same shape, and both once more under a pinned snapshot

Needs ROWCREW_BIN, and ROWCREW_TEST_DATABASE_URL: a durable server for figures that mean something
(scripts/private-pg.sh start dev). Databases are made and dropped.
"""
import argparse
import contextlib
import os
import pathlib
import re
import statistics
import sys
import tempfile
import threading
import time

import psycopg2

os.environ.setdefault("ROWCREW_SOURCE", str(pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from support.adopted import TABLES, adopt, create_tables  # noqa: E402
from support.fleet import BIN, SOURCE, Database, run  # noqa: E402

INSERT = {
    "jobs": "INSERT INTO public.jobs (drive_file_id, drive_file_name, drive_folder_id, preset_name) VALUES ('f', 'n', 'd', 'p');",
    "job_queue": "INSERT INTO public.job_queue (job_type, payload) VALUES ('noop', '{\"n\": 1}');",
}
UPDATE = {
    "jobs": "\\set n random(1, 20000)\nUPDATE public.jobs SET output_url = 'x' WHERE id = md5('k' || :n)::uuid;",
    "job_queue": "\\set n random(1, 20000)\nUPDATE public.job_queue SET payload = '{\"n\": 2}' WHERE id = md5('k' || :n)::uuid;",
}


def pgbench(db, script, seconds, log_prefix=None):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        more = ["--log", f"--log-prefix={log_prefix}"] if log_prefix else []
        out = run(["pgbench", "-n", "-c", "4", "-j", "2", "-T", seconds, "-M", "prepared", "-f", file.name, *more, db.url], within=seconds + 60).stdout
    return float(re.search(r"tps = ([0-9.]+)", out).group(1))


def median(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def overhead(args):
    plain, adopted = Database(), Database()
    silent = Database()  # as while the fleet is awake, if enqueueing then does not notify
    try:
        for db in (plain, adopted, silent):
            create_tables(db)
            for name in INSERT:
                table = TABLES[name][0]
                if name == "jobs":
                    db.execute("INSERT INTO public.jobs (id, drive_file_id, drive_file_name, drive_folder_id, preset_name) "
                               "SELECT md5('k' || n)::uuid, 'f', 'n', 'd', 'p' FROM generate_series(1, 20000) n")
                else:
                    db.execute("INSERT INTO public.job_queue (id, job_type) SELECT md5('k' || n)::uuid, 'noop' FROM generate_series(1, 20000) n")
                if db is not plain:
                    adopt(db, name)
                db.execute(f"VACUUM ANALYZE {table}")
        silent.execute("CREATE OR REPLACE FUNCTION rowcrew.wake() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        for name in INSERT:
            for what, script in (("insert", INSERT[name]), ("update", UPDATE[name])):
                figures = {"plain": [], "adopted": [], "adopted, no notify": []}
                for _ in range(args.rounds):
                    for label, db in (("plain", plain), ("adopted", adopted), ("adopted, no notify", silent)):
                        figures[label].append(pgbench(db, script, args.seconds))
                base = statistics.median(figures["plain"])
                for label, values in figures.items():
                    print(f"{name:<10} {what:<7} {label:<19} {median(values):>26} /s  costs {100 * (base / statistics.median(values) - 1):5.1f} %", flush=True)
    finally:
        for db in (plain, adopted, silent):
            db.drop()


class LockWatch(threading.Thread):
    """The longest time that a lock which stops writers was held or waited for, on a connection of its own."""

    def __init__(self, url, table):
        super().__init__(daemon=True)
        self.url, self.table, self.stopping = url, table, threading.Event()
        self.held, self.waited, self.looks = 0.0, 0.0, 0

    def run(self):
        since = {}
        with contextlib.closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            while not self.stopping.is_set():
                cursor.execute("SELECT pid, mode, granted FROM pg_locks WHERE relation = %s::regclass AND mode IN "
                               "('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')", (self.table,))
                now = time.monotonic()
                self.looks += 1
                seen = {(pid, mode, granted) for pid, mode, granted in cursor.fetchall()}
                for key in list(since):
                    if key not in seen:
                        del since[key]
                for key in seen:
                    began = since.setdefault(key, now)
                    if key[2]:
                        self.held = max(self.held, now - began)
                    else:
                        self.waited = max(self.waited, now - began)


def lock(args):
    db = Database()
    try:
        create_tables(db)
        db.execute("INSERT INTO public.jobs (id, drive_file_id, drive_file_name, drive_folder_id, preset_name, status) "
                   "SELECT md5('k' || n)::uuid, 'f', 'n', 'd', 'p', CASE WHEN n %% 50 = 0 THEN 'queued' ELSE 'completed' END "
                   "FROM generate_series(1, %s) n", (args.rows,))
        db.execute("VACUUM ANALYZE public.jobs")
        load = threading.Thread(target=lambda: figures.append(pgbench(db, INSERT["jobs"] + "\n" + UPDATE["jobs"], 40, prefix)))
        with tempfile.TemporaryDirectory() as folder:
            prefix, figures = f"{folder}/log", []
            load.start()
            time.sleep(3)
            watch = LockWatch(db.url, "public.jobs")
            watch.start()
            began = time.time()
            done = adopt(db, "jobs")
            took = time.time() - began
            watch.stopping.set()
            watch.join()
            print("".join(f"  {line}\n" for line in done.stdout.splitlines() if line.startswith(("filed", "lock"))), end="")
            load.join()
            during, before = 0, 0
            for path in pathlib.Path(folder).iterdir():
                for line in path.read_text().splitlines():
                    fields = line.split()
                    at, latency = int(fields[4]) + int(fields[5]) / 1e6, int(fields[2]) / 1000
                    if began <= at <= began + took + 0.1:
                        during = max(during, latency)
                    elif at < began:
                        before = max(before, latency)
        print(f"adopt on {args.rows:,} rows under {figures[0]:,.0f} transactions/s: {took:.1f} s; lock held {watch.held * 1000:.0f} ms, "
              f"waited for {watch.waited * 1000:.0f} ms at most ({watch.looks} looks); slowest transaction {during:.0f} ms, "
              f"{before:.0f} ms in the seconds before")
    finally:
        db.drop()


OWN = {"table": "rowcrew.job_queue", "ready": "rowcrew.job_queue_ready", "parked": "rowcrew.job_queue_parked", "claim": "rowcrew.job_queue_claim",
       "table_name": "'job_queue'", "app": "q.app", "job_type": "q.job_type", "payload": "q.payload", "result": "result", "took": ""}


def drain(url, values, folder, rows, batch=200):
    """Claims and completes every job by the statements of a node, one connection; jobs per second."""
    queries = SOURCE / "sql/queries"

    def rendered(name):
        text = (queries / folder / f"{name}.sql").read_text()
        return re.sub(r"\{(\w+)\}", lambda match: values[match.group(1)], text)

    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for line in (SOURCE / "sql/pg/session_settings.sql").read_text().splitlines():
            if line.startswith("SET"):
                cursor.execute(line.replace("{scope}", "SESSION").replace("{lock_timeout}", "0").replace("{statement_timeout}", "0"))
        cursor.execute("PREPARE claim AS " + rendered("claim"))
        cursor.execute("PREPARE finish AS " + rendered("finish_completed"))
        cursor.execute("INSERT INTO rowcrew.node (epoch, lease_ms, name, host, pid, version, queues) "
                       "VALUES (1, 30000, 'n', 'h', 1, '0', '{default}') RETURNING node_id")
        node = cursor.fetchone()[0]
        mark, token, done = "-infinity", 0, 0
        began = time.monotonic()
        while done < rows:
            token += 1
            cursor.execute("EXECUTE claim(%s, %s, 1, '{default}', %s, %s)", (token, node, [batch], "{" + ",".join([f'"{mark}"'] * 10) + "}"))
            claimed = [row for row in cursor.fetchall() if row[0] is not None]
            if not claimed:
                raise AssertionError(f"{done} of {rows} claimed")
            cursor.execute("SELECT to_timestamp(%s / 1e6) - interval '2 seconds'", (min(row[7] for row in claimed),))
            mark = str(cursor.fetchone()[0])
            ids = sorted(row[0] for row in claimed)
            cursor.execute("EXECUTE finish(%s, %s, %s, %s)",
                           ("{" + ",".join(ids) + "}", [token] * len(ids), [None] * len(ids), [token]))
            done += len(cursor.fetchall())
        return rows / (time.monotonic() - began)


def claims(args):
    figures = {}
    for round_ in range(args.rounds):
        for pinned in (False, True):
            for kind in ("own", "adopted"):
                db = Database()
                try:
                    create_tables(db)
                    if kind == "adopted":
                        # The very table of ours, but for what only we have; its updates can be as cheap.
                        db.execute("ALTER TABLE public.job_queue SET (fillfactor = 40)")
                        adopt(db, "job_queue")
                    table = "rowcrew.job_queue" if kind == "own" else "public.job_queue"
                    db.execute(f"INSERT INTO {table} (job_type, payload) SELECT 'noop', jsonb_build_object('n', n) FROM generate_series(1, %s) n", (args.rows,))
                    db.execute("VACUUM ANALYZE")
                    values = OWN if kind == "own" else db.value("SELECT template FROM rowcrew.adopted_table")
                    with contextlib.closing(psycopg2.connect(db.url)) as pin:
                        if pinned:
                            pin.set_session(isolation_level="REPEATABLE READ")
                            pin.cursor().execute("SELECT txid_current()")
                        figures.setdefault((kind, pinned), []).append(drain(db.url, values, "" if kind == "own" else "adopted", args.rows))
                finally:
                    db.drop()
    for (kind, pinned), values in figures.items():
        ratio = statistics.median(values) / statistics.median(figures[("own", pinned)])
        healthy = statistics.median(values) / statistics.median(figures[(kind, False)])
        print(f"{kind:<8} {'pinned' if pinned else 'healthy':<8} {median(values):>26} jobs/s  {ratio:.2f} of own, {healthy:.2f} of healthy")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("what", choices=["overhead", "lock", "claims"])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100_000)
    args = parser.parse_args()
    {"overhead": overhead, "lock": lock, "claims": claims}[args.what](args)


if __name__ == "__main__":
    main()
