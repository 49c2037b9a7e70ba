#!/usr/bin/python3
"""What an idle fleet costs: statements per second beside heartbeats, CPU of each node and of the server.

    idle_bench.py --bin build/release/bin [--nodes 10] [--seconds 120] [--settle 20]

Starts a PostgreSQL of its own (lab.py says what that needs) and so many rowcrewd with the default configuration, waits
for them to settle, and counts. Statements are pg_stat_statements' calls, one line each in the table, so that what is
taken for a heartbeat can be judged: those of sql/queries/node/beat.sql. CPU is the
scheduler's (/proc/PID/schedstat of all threads; of server processes that ended meanwhile what their parent reaped).
"""
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from lab import Cpu, Lab, memory_mb, options, rows, table  # noqa: E402

QUERIES = pathlib.Path(__file__).resolve().parents[2] / "sql" / "queries"
HEARTBEAT = ("node/beat.sql",)


def plain(sql):
    """A statement without comments, literals, placeholders and blanks."""
    sql = re.sub(r"--[^\n]*", " ", sql)
    return re.sub(r"\$\d+|'[^']*'|\bnull\b|\b\d+\b|\s+", "", sql.lower())


def statements(connection):
    return {query: (calls, ms) for query, calls, ms in rows(
        connection, "SELECT query, sum(calls)::bigint, sum(total_exec_time) FROM pg_stat_statements s"
                    " JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database() GROUP BY 1")}


def main():
    p = options(__doc__)
    p.add_argument("--nodes", type=int, default=10)
    p.add_argument("--seconds", type=float, default=120)
    p.add_argument("--settle", type=float, default=20)
    opt = p.parse_args()
    heartbeats = {plain((QUERIES / name).read_text()) for name in HEARTBEAT}
    with Lab(opt.bin) as lab:
        connection = lab.create()
        nodes = [lab.node("bench", {"node": {"name": f"n{k}"}}, f"n{k}") for k in range(opt.nodes)]
        time.sleep(opt.settle)
        before = statements(connection)
        cpus, server, began = [Cpu([n.pid]) for n in nodes], Cpu([lab.postmaster]), time.monotonic()
        time.sleep(opt.seconds)
        seconds = time.monotonic() - began
        node_cpu, server_cpu = [c.seconds() / seconds * 1e3 for c in cpus], server.seconds() / seconds * 1e3
        after = statements(connection)
        rss = [memory_mb(n.pid) for n in nodes]
    lines, beats, others = [], 0.0, 0.0
    for query, (calls, ms) in after.items():
        done, spent = calls - before.get(query, (0, 0))[0], ms - before.get(query, (0, 0))[1]
        if done == 0:
            continue
        beat = plain(query) in heartbeats
        beats, others = beats + done * beat, others + done * (not beat)
        text = " ".join(re.sub(r"--[^\n]*", "", query).split())
        lines.append((done / seconds, "heartbeat" if beat else "", f"{spent / seconds:.3f}", text[:100]))
    table(["calls/s", "", "ms/s", "statement"], [(f"{line[0]:.3f}", *line[1:]) for line in sorted(lines, reverse=True)])
    print()
    table(["figure", "value"], [
        ("nodes, seconds", f"{opt.nodes}, {seconds:.0f}"),
        ("statements/s beside heartbeats", f"{others / seconds:.2f}"),
        ("heartbeat statements/s", f"{beats / seconds:.2f}"),
        ("CPU of a node, ms/s (worst)", f"{sum(node_cpu) / len(node_cpu):.2f} ({max(node_cpu):.2f})"),
        ("CPU of the server, ms/s", f"{server_cpu:.2f}"),
        ("RSS of a node, MB (worst)", f"{max(rss):.1f}")])


if __name__ == "__main__":
    main()
