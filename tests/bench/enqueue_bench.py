#!/usr/bin/python3
"""What enqueueing costs an application, beside the same row into tables that do nothing with it.

    enqueue_bench.py --bin build/release/bin [--connections 4,16] [--seconds 4] [--reps 3] [--bulk 100000] [--node]

Starts a PostgreSQL of its own (lab.py says what that needs). One row a commit by pgbench (-M prepared), in turns:

    bare      the columns of job_queue and its key; the server's own functions as defaults; no checks, no triggers
    like      CREATE TABLE (LIKE job_queue INCLUDING ALL): its defaults too, no triggers
    job_queue the product
    notify    the product with one more trigger, which calls pg_notify in every insert

and in bulk, one connection: COPY and INSERT … SELECT unnest() of 1,000 rows a statement. --node: while a node drains what
comes. Medians with smallest and largest; ratios are medians of each turn's own.
"""
import io
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from lab import PGBIN, Lab, Worker, options, rows, spread, table  # noqa: E402

PAYLOAD = '{"i": 1}'
BARE = (pathlib.Path(__file__).resolve().parents[2] / "sql" / "bench" / "bare_make.sql").read_text()
NOTIFY = """
CREATE FUNCTION rowcrew.bench_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('bench', ''); RETURN NULL; END $$;
CREATE TRIGGER bench_notify AFTER INSERT ON rowcrew.job_queue FOR EACH STATEMENT EXECUTE FUNCTION rowcrew.bench_notify();
ALTER TABLE rowcrew.job_queue DISABLE TRIGGER bench_notify;
"""
TABLES = {"bare": "rowcrew.bench_bare", "like": "rowcrew.bench_like", "job_queue": "rowcrew.job_queue", "notify": "rowcrew.job_queue"}


class Bench:
    def __init__(self, lab, opt):
        self.lab, self.opt = lab, opt
        self.connection = lab.create()
        rows(self.connection, BARE)
        rows(self.connection, "CREATE TABLE rowcrew.bench_like (LIKE rowcrew.job_queue INCLUDING ALL)")
        rows(self.connection, NOTIFY)
        for name, target in TABLES.items():
            script = lab.home / f"{name}.sql"
            script.write_text(f"INSERT INTO {target} (job_type, queue, payload) VALUES ('bench', 'default', '{PAYLOAD}');\n")
        self.script = lambda name: lab.home / f"{name}.sql"

    def arm(self, name):
        """Empty tables, the notifying trigger as `name` wants it, and nothing of it in the WAL's way."""
        rows(self.connection, "TRUNCATE rowcrew.bench_bare, rowcrew.bench_like")
        rows(self.connection, "DELETE FROM rowcrew.job_queue WHERE status = 'completed'" if self.opt.node else "TRUNCATE rowcrew.job_queue")
        rows(self.connection, f"ALTER TABLE rowcrew.job_queue {'ENABLE' if name == 'notify' else 'DISABLE'} TRIGGER bench_notify")
        rows(self.connection, "CHECKPOINT")

    def single(self, name, connections):
        self.arm(name)
        done = subprocess.run([PGBIN / "pgbench", "-n", "-M", "prepared", "-c", str(connections), "-j", "2", "-T", str(self.opt.seconds),
                               "-f", str(self.script(name)), "bench"], env={**os.environ, **self.lab.environment("bench")},
                              capture_output=True, text=True, check=True, timeout=self.opt.seconds + 60)
        return float(re.search(r"tps = ([\d.]+)", done.stdout).group(1))

    def copy(self, name):
        self.arm(name)
        lines = "".join(f'bench\tdefault\t{{"i": {i}}}\n' for i in range(self.opt.bulk))
        with self.connection.cursor() as cursor:
            began = time.monotonic()
            cursor.copy_expert(f"COPY {TABLES[name]} (job_type, queue, payload) FROM STDIN", io.StringIO(lines))
            return self.opt.bulk / (time.monotonic() - began)

    def unnest(self, name):
        self.arm(name)
        batches = [[f'{{"i": {i}}}' for i in range(k, k + 1000)] for k in range(0, self.opt.bulk, 1000)]
        began = time.monotonic()
        for batch in batches:
            rows(self.connection, f"INSERT INTO {TABLES[name]} (job_type, queue, payload)"
                                  " SELECT 'bench', 'default', p FROM unnest(%s::jsonb[]) p", (batch,))
        return self.opt.bulk / (time.monotonic() - began)


def in_turns(what, measure, reps):
    """name -> rates; every turn measures each once."""
    found = {name: [] for name in TABLES}
    for turn in range(reps):
        for name in TABLES:
            found[name].append(measure(name))
        print(f"{what}, turn {turn + 1}: " + ", ".join(f"{n} {r[-1]:,.0f}" for n, r in found.items()), file=sys.stderr, flush=True)
    return found


def line(what, found, name):
    def ratio(base):
        return f"{statistics.median(a / b for a, b in zip(found[name], found[base])):.3f}"
    return what, name, spread(found[name]), ratio("bare"), ratio("like")


def main():
    p = options(__doc__)
    p.add_argument("--connections", type=lambda s: [int(n) for n in s.split(",")], default=[4, 16])
    p.add_argument("--seconds", type=int, default=4)
    p.add_argument("--reps", type=int, default=3)
    p.add_argument("--bulk", type=int, default=100_000)
    p.add_argument("--node", action="store_true")
    opt = p.parse_args()
    with Lab(opt.bin) as lab:
        bench, lines = Bench(lab, opt), []
        if opt.node:
            Worker(lab, "rowcrew-bench-worker", "bench", {"BENCH_N": "1", "BENCH_CONCURRENCY": "500"})
        for connections in opt.connections:
            what = f"one by one, {connections} connections"
            found = in_turns(what, lambda name, c=connections: bench.single(name, c), opt.reps)
            lines += [line(what, found, name) for name in TABLES]
        copied = in_turns("COPY", bench.copy, opt.reps)
        unnested = in_turns("1,000 rows a statement", bench.unnest, opt.reps)
        lines += [line("COPY", copied, name) for name in TABLES]
        lines += [line("1,000 rows a statement", unnested, name) for name in TABLES]
    table(["how", "into", "rows/s", "of bare", "of like"], lines)
    by_copy, by_insert = (statistics.median(a / b for a, b in zip(figures["job_queue"], copied["bare"])) for figures in (copied, unnested))
    print(f"\ninto job_queue, of COPY into the bare table: COPY {by_copy:.3f}, 1,000 rows a statement {by_insert:.3f}; "
          f"{'a node drains meanwhile' if opt.node else 'no node runs'}")


if __name__ == "__main__":
    main()
