#!/usr/bin/python3
"""What operators' acts cost on a large table: pausing a queue with a million ready jobs, and letting a
hundred thousand failed jobs run again at a rate, beside another queue that is in use.

Usage: ROWCREW_BIN=… ROWCREW_SOURCE=… ROWCREW_TEST_DATABASE_URL=… control_bench.py [pause|redrive] [JOBS] [RATE]
"""
import pathlib
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "e2e"))
from support.fleet import BIN, Database, Node, wait_for  # noqa: E402


def rowcrew(db, *args):
    return subprocess.run([BIN / "rowcrew", "--database", db.url, *args], capture_output=True, text=True, check=True).stdout.strip()


def stand_still(db):
    """Seconds until nothing more of the queue was started."""
    began = time.monotonic()
    last, since = db.value("SELECT max(started_at) FROM rowcrew.job_queue_recent"), began
    while time.monotonic() - since < 1.0:
        now = db.value("SELECT max(started_at) FROM rowcrew.job_queue_recent")
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.01)
    return since - began


def bench_pause(db, jobs):
    db.execute("INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'sleep', '{\"ms\": 5}' FROM generate_series(1, %s)", (jobs,))
    # The latest starts, without reading a million rows each time: the jobs of the claims of the moment.
    db.execute("CREATE VIEW rowcrew.job_queue_recent AS SELECT q.started_at FROM rowcrew.job_queue_claim c, unnest(c.ids) i (id) "
               "JOIN rowcrew.job_queue q ON q.id = i.id")
    nodes = [Node(db, f"n{i}", queues={"default": 8}).ready() for i in range(2)]
    wait_for("load", lambda: db.value("SELECT count(*) FROM rowcrew.job_queue_recent") > 0)
    time.sleep(2)
    hints = db.value("SELECT pg_stat_get_tuples_inserted('rowcrew.job_queue_parked'::regclass)")
    began = time.monotonic()
    rowcrew(db, "pause", "queue", "default")
    said = time.monotonic() - began
    still = stand_still(db)
    ready = db.value("SELECT count(*) FROM rowcrew.job_queue_ready")
    moved = db.value("SELECT pg_stat_get_tuples_inserted('rowcrew.job_queue_parked'::regclass)") - hints
    began = time.monotonic()
    rowcrew(db, "resume", "queue", "default")
    wait_for("it to go on", lambda: db.value("SELECT count(*) FROM rowcrew.job_queue_recent") > 0, every=0.01)
    print(f"pause: {ready} ready jobs, command {said * 1000:.0f} ms, stood still {still * 1000:.0f} ms after it, "
          f"went on {(time.monotonic() - began) * 1000:.0f} ms after the resume began, {moved} hints moved")
    return nodes


def latencies(db, seconds, rate=20):
    """Enqueue to end of no-op jobs of another queue, in ms."""
    ids = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ids.append(db.value("INSERT INTO rowcrew.job_queue (job_type, queue) VALUES ('noop', 'other') RETURNING id"))
        time.sleep(1 / rate)
    wait_for("the other queue", lambda: db.value("SELECT count(*) FROM rowcrew.job_queue WHERE id = ANY (%s::uuid[]) AND status <> 'completed'", (ids,)) == 0)
    rows = db.execute("SELECT extract(epoch FROM completed_at - created_at) * 1000 FROM rowcrew.job_queue WHERE id = ANY (%s::uuid[])", (ids,))
    return sorted(float(ms) for (ms,) in rows)


def say(name, ms):
    print(f"{name}: median {statistics.median(ms):.1f} ms, p99 {ms[int(len(ms) * 0.99)]:.1f} ms of {len(ms)}")


def bench_redrive(db, jobs, rate):
    db.execute("INSERT INTO rowcrew.job_queue (job_type, status, error_code, completed_at) "
               "SELECT 'noop', 'failed', 'http_500', now() - interval '1 minute' FROM generate_series(1, %s)", (jobs,))
    nodes = [Node(db, f"n{i}", queues={"default": 8, "other": 4}).ready() for i in range(2)]
    say("other queue, alone", latencies(db, 15))
    print("preview:", rowcrew(db, "redrive", "--error-code", "http_500", "--preview"))
    began = time.monotonic()
    with subprocess.Popen([BIN / "rowcrew", "--database", db.url, "redrive", "--error-code", "http_500", "--rate", str(rate)],
                          stdout=subprocess.PIPE, text=True) as running:
        beside = []
        thread = threading.Thread(target=lambda: beside.extend(latencies(db, min(60, jobs / rate * 0.8))))
        thread.start()
        thread.join()
        print("redrive:", running.communicate()[0].strip())
    took = time.monotonic() - began
    say("other queue, beside it", sorted(beside))
    wait_for("them to end", lambda: db.unfinished() == 0, 120)
    print(f"redrive: {jobs} in {took:.1f} s, {jobs / took:.0f}/s; {db.counts()}")
    return nodes


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "pause"
    db = Database()
    nodes = []
    try:
        if what == "pause":
            nodes = bench_pause(db, int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
        else:
            nodes = bench_redrive(db, int(sys.argv[2]) if len(sys.argv) > 2 else 100_000, int(sys.argv[3]) if len(sys.argv) > 3 else 1000)
    finally:
        for node in nodes:
            node.close()
        db.drop()


if __name__ == "__main__":
    main()
