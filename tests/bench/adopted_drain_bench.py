#!/usr/bin/python3
"""How fast a node drains an adopted table, beside rowcrew.job_queue: healthy and under a pinned snapshot.

    adopted_drain_bench.py --bin build/release/bin [--jobs 100000] [--rounds 3] [--slots 500] [--only own|adopted]
        [--running N]

Starts a PostgreSQL of its own (lab.py says what that needs). Per round and kind a new database, --jobs jobs in it, and one
node with a handler that does nothing; the rate is jobs over the time from the first start of a handler to the last end in
the database. The adopted table has the columns of ours; its fillfactor is ours, too. With --running a rule lets so many jobs
of each of 1,000 customers run at once: ours are filed behind it as they are inserted, those of the adopted table by claims.
"""
import contextlib
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from lab import Lab, Worker, options, rows, spread, wait_for  # noqa: E402

MAPS = pathlib.Path(__file__).parents[1] / "support/adopted"
KINDS = {"own": "rowcrew.job_queue", "adopted": "public.job_queue"}


def prepare(lab, name, kind, jobs, running):
    """A database with that many jobs of the type that the bench's node serves."""
    connection = lab.create(name)
    if kind == "adopted":
        rows(connection, (MAPS / "tables.sql").read_text() + "; ALTER TABLE public.job_queue SET (fillfactor = 40)")
        subprocess.run([str(lab.bin / "rowcrew"), "--database", lab.url(name), "adopt", "--map", str(MAPS / "job_queue.yaml")],
                       check=True, stdout=subprocess.DEVNULL)
    if running:
        rows(connection, f"SELECT rowcrew.limit_set('customers', p_by => 'payload.customer', p_running => {running})")
    rows(connection, f"INSERT INTO {KINDS[kind]} (job_type, payload) SELECT 'bench', jsonb_build_object('i', n, 'customer', n % 1000) "
                     f"FROM generate_series(0, {jobs - 1}) n")
    connection.cursor().execute("VACUUM ANALYZE")
    return connection


def drain(lab, name, kind, jobs, slots, running, pinned):
    connection = prepare(lab, name, kind, jobs, running)
    pin = lab.connect(name)
    if pinned:
        pin.autocommit = False
        pin.set_session(isolation_level="REPEATABLE READ")
        rows(pin, "SELECT txid_current()")
    worker = Worker(lab, "rowcrew-bench-worker", name, {
        "BENCH_N": str(jobs), "BENCH_CONCURRENCY": str(slots),
        "BENCH_TABLES": "job_queue" if kind == "own" else "public_job_queue"})
    left = f"SELECT EXISTS (SELECT FROM {KINDS[kind]} WHERE status <> 'completed')"
    wait_for("the last start", lambda: worker.handled >= jobs, 300)
    wait_for("the last end", lambda: not rows(connection, left)[0][0], 60)
    last = rows(connection, f"SELECT extract(epoch FROM max(completed_at)) FROM {KINDS[kind]}")[0][0]
    offset = time.time() - time.monotonic()
    worker.stop()
    first = min(times[0] for times in worker.times().values()) / 1e6 + offset
    with contextlib.suppress(Exception):
        pin.rollback()
    pin.close()
    connection.close()
    return jobs / (float(last) - first)


def main():
    p = options(__doc__)
    p.add_argument("--jobs", type=int, default=100_000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--slots", type=int, default=500)
    p.add_argument("--only", choices=KINDS)
    p.add_argument("--running", type=int)
    opt = p.parse_args()
    figures = {}
    with Lab(opt.bin) as lab:
        for round_ in range(opt.rounds):
            for pinned in (False, True):
                for kind in KINDS:
                    if opt.only in (None, kind):
                        name = f"{kind}_{round_}_{'pinned' if pinned else 'healthy'}"
                        figures.setdefault((kind, pinned), []).append(drain(lab, name, kind, opt.jobs, opt.slots, opt.running, pinned))
    for (kind, pinned), values in figures.items():
        rate = statistics.median(values)
        healthy = rate / statistics.median(figures[(kind, False)])
        beside = f", {rate / statistics.median(figures[('own', pinned)]):.2f} of own" if ("own", pinned) in figures else ""
        print(f"{kind:<8} {'pinned' if pinned else 'healthy':<8} {spread(values):>28} jobs/s, {healthy:.2f} of healthy{beside}")


if __name__ == "__main__":
    main()
