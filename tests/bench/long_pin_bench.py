#!/usr/bin/python3
"""A steady rate under a pinned snapshot: does the claim get slower while dead rows pile up?

    long_pin_bench.py --bin build/release/bin [--minutes 10] [--rate 2000] [--no-pin]

Starts a PostgreSQL of its own (lab.py says what that needs), one node with a handler that does nothing, a session that
holds a REPEATABLE READ snapshot from the first job on, and an enqueuer in batches of 10 ms. The server itself times every
statement of the node (log_min_duration_statement of its sessions): a claim's time is that of its bind and its execution.
Per minute: claims, p50/p99/max of their time, commit-to-start of the jobs. The verdict is p99 of the last minute over p99
of the first.
"""
import contextlib
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from lab import Lab, Worker, options, percentile, rows, table, wait_for  # noqa: E402

LINE = re.compile(rb"^(\d+) LOG:  duration: ([\d.]+) ms  (bind|execute) ([^:\s]*claim[^:\s]*)", re.M)


class ClaimTimes:
    """Reads the server's log as it grows, and forgets what it has read."""

    def __init__(self, path):
        self.path, self.at, self.bind = path, 0, {}

    def more(self):
        with self.path.open("rb") as log:
            log.seek(self.at)
            text = log.read()
        whole = text.rfind(b"\n") + 1
        self.at += whole
        found = []
        for pid, ms, step, _ in LINE.findall(text[:whole]):
            if step == b"bind":
                self.bind[pid] = float(ms)
            else:
                found.append(self.bind.pop(pid, 0.0) + float(ms))
        return found


def main():
    p = options(__doc__)
    p.add_argument("--minutes", type=int, default=10)
    p.add_argument("--rate", type=int, default=2000)
    p.add_argument("--no-pin", action="store_true", help="the same without the snapshot, for comparison")
    opt = p.parse_args()
    jobs = opt.rate * 60 * opt.minutes
    with Lab(opt.bin) as lab:
        connection = lab.create()
        worker = Worker(lab, "rowcrew-bench-worker", "bench", {
            "BENCH_N": str(jobs), "BENCH_CONCURRENCY": "500",
            "PGOPTIONS": "-c log_min_duration_statement=0 -c log_parameter_max_length=0"})
        sender = Worker(lab, "rowcrew-bench-enqueue", "bench", {
            "BENCH_N": str(jobs), "BENCH_OP": "paced", "BENCH_RATE": str(opt.rate), "BENCH_TICK": str(max(1, opt.rate // 100)),
            "BENCH_CONNS": "1"})
        wait_for("the node", lambda: rows(connection, "SELECT count(*) FROM rowcrew.node")[0][0] == 1)
        pin = lab.connect("bench")
        if not opt.no_pin:
            pin.autocommit = False
            pin.set_session(isolation_level="REPEATABLE READ")
            rows(pin, "SELECT count(*) FROM pg_class")
        claims, minutes = ClaimTimes(lab.log), []
        claims.more()
        began = time.monotonic()
        sender.go()
        for minute in range(1, opt.minutes + 1):
            wait_for("the minute to pass", lambda end=began + minute * 60: time.monotonic() >= end, 120)
            minutes.append(claims.more())
            print(f"minute {minute}: {len(minutes[-1])} claims, p99 {percentile(minutes[-1], .99):.2f} ms", file=sys.stderr, flush=True)
        backlog = jobs - worker.handled
        wait_for("the rest", lambda: worker.handled >= jobs, 120)
        sender.ended.wait(30)
        dead = rows(connection, "SELECT relname, n_dead_tup, pg_size_pretty(pg_total_relation_size(relid)) FROM pg_stat_user_tables"
                                " WHERE schemaname = 'rowcrew' ORDER BY n_dead_tup DESC LIMIT 4")
        with contextlib.suppress(Exception):
            pin.rollback()
        worker.stop()
        sent, started = sender.times(), worker.times()
    waits = [[] for _ in range(opt.minutes)]
    for job, (_, returned) in sent.items():
        waits[min(opt.minutes - 1, job // (opt.rate * 60))].append((started[job][0] - returned) / 1e3)
    table(["minute", "claims", "claim p50 ms", "p99", "max", "commit to start p50 ms", "p99"],
          [(k + 1, len(c), *(f"{percentile(c, s):.2f}" for s in (.5, .99, 1)), *(f"{percentile(w, s):.2f}" for s in (.5, .99)))
           for k, (c, w) in enumerate(zip(minutes, waits))])
    print()
    table(["table", "dead rows", "size"], dead)
    first, last = percentile(minutes[0], .99), percentile(minutes[-1], .99)
    print(f"\np99 of a claim: first minute {first:.2f} ms, last {last:.2f} ms, ratio {last / first:.2f}; not started when the "
          f"last was enqueued: {backlog}; {'no ' if opt.no_pin else ''}snapshot pinned")


if __name__ == "__main__":
    main()
