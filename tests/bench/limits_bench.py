#!/usr/bin/python3
"""What limits cost: a drain without any, with keys that never bind, with keys that always bind, with one hot key.

    limits_bench.py --bin build/release/bin [--jobs 100000] [--slots 500] [--rounds 3] [--only KIND]

Each kind on a database of its own, kinds in turn within a round, with and without a session that holds a snapshot from
before the first job on. Handlers do nothing. A rate is that of what was completed between the first and the last
completion; ratios are of the medians to the drain without limits, pinned to pinned.
"""
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from lab import Lab, Worker, options, rows, spread, table, wait_for  # noqa: E402

# tenants, cap; the hot key is one of them, limited to one.
KINDS = {"unlimited": (1000, None), "never": (1000, 1000), "binding": (1000, 4), "hot": (1, 1)}


def drain(opt, kind, pinned):
    tenants, cap = KINDS[kind]
    jobs = opt.jobs // 5 if kind == "hot" else opt.jobs
    with Lab(opt.bin) as lab:
        connection = lab.create()
        if cap is not None:
            rows(connection, "SELECT rowcrew.limit_set('tenants', p_queue => 'default', p_by => 'tenant', p_running => %s)", (cap,))
        rows(connection, "INSERT INTO rowcrew.job_queue (job_type, payload, tenant) SELECT 'bench', jsonb_build_object('i', i - 1), 't' || i %% %s "
                         "FROM generate_series(1, %s) i", (tenants, jobs))
        rows(connection, "VACUUM ANALYZE")
        pin = lab.connect("bench")
        if pinned:
            pin.autocommit = False
            pin.set_session(isolation_level="REPEATABLE READ")
            rows(pin, "SELECT count(*) FROM pg_class")
        worker = Worker(lab, "rowcrew-bench-worker", "bench", {"BENCH_N": str(jobs), "BENCH_CONCURRENCY": str(opt.slots)})
        worker.go()
        wait_for("the end", lambda: worker.handled >= jobs, 600)
        wait_for("the last end", lambda: rows(connection, "SELECT count(*) FROM rowcrew.job_queue WHERE status <> 'completed'")[0][0] == 0, 60, every=0.2)
        if pinned:
            pin.rollback()
        return rows(connection, "SELECT count(*) / extract(epoch FROM max(completed_at) - min(completed_at)) FROM rowcrew.job_queue")[0][0]


def main():
    p = options(__doc__)
    p.add_argument("--jobs", type=int, default=100_000)
    p.add_argument("--slots", type=int, default=500)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", choices=KINDS)
    opt = p.parse_args()
    rates = {}
    for _ in range(opt.rounds):
        for kind in KINDS:
            for pinned in (False, True):
                if opt.only in (None, kind) or kind == "unlimited":
                    rates.setdefault((kind, pinned), []).append(float(drain(opt, kind, pinned)))
                    print(f"{kind}{' pinned' if pinned else ''}: {rates[(kind, pinned)][-1]:,.0f}/s", file=sys.stderr, flush=True)
    table(["kind", "pinned", "jobs/s", "of unlimited"], [
        [kind, "yes" if pinned else "", spread(found), f"{statistics.median(found) / statistics.median(rates[('unlimited', pinned)]):.2f}"]
        for (kind, pinned), found in rates.items()])


if __name__ == "__main__":
    main()
