#!/usr/bin/python3
"""Jobs of the kind sql on one node, beside pgbench calling the same function on the same server with as many
connections: one call per commit, and fifty. The function books an amount: it inserts a row and updates one.

Usage: sql_jobs_bench.py [--jobs 20000] [--connections 4] [--rounds 3]     with ROWCREW_BIN, ROWCREW_SOURCE and
ROWCREW_TEST_DATABASE_URL as the tests have them, the latter of a durable server; a release build gives the
figures that count. Rounds of both alternate; prints medians, with the lowest and the highest.
"""
import argparse
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "e2e"))
from support.fleet import Database, Node, wait_for  # noqa: E402

BATCHES = (1, 50)
ACCOUNTS = 10_000  # of each connection: nobody waits for a row
SCHEMA = """
CREATE SCHEMA shop;
CREATE TABLE shop.account (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
CREATE TABLE shop.ledger (job uuid NOT NULL, account int NOT NULL, amount bigint NOT NULL, booked_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION shop.charge(job uuid, args jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO shop.ledger VALUES (job, (args ->> 'account')::int, (args ->> 'amount')::bigint);
  UPDATE shop.account SET balance = balance - (args ->> 'amount')::bigint WHERE id = (args ->> 'account')::int;
END $$;
"""


def pgbench_script(batch):
    call = (f"\\set account :client_id * {ACCOUNTS} + random(1, {ACCOUNTS})\n"
            "SELECT shop.charge(gen_random_uuid(), jsonb_build_object('account', :account::int, 'amount', 7));\n")
    return call if batch == 1 else "BEGIN;\n" + call * batch + "COMMIT;\n"


def pgbench(db, batch, connections, seconds):
    """Calls per second."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(pgbench_script(batch))
        script.flush()
        done = subprocess.run([shutil.which("pgbench"), "-n", "-M", "prepared", "-c", str(connections), "-j", "2",
                               "-T", str(seconds), "-f", script.name, db.url], capture_output=True, text=True, check=True)
    return batch * float(re.search(r"tps = ([0-9.]+)", done.stdout).group(1))


def jobs(db, batch, connections, count):
    """Jobs per second, from the first start to the last end."""
    db.execute("TRUNCATE rowcrew.job_queue, shop.ledger; UPDATE shop.account SET balance = 0")
    db.execute("INSERT INTO rowcrew.job_queue (job_type, payload) SELECT 'sql', jsonb_build_object('entry', 'charge', 'args', "
               "jsonb_build_object('account', 1 + n %% %s, 'amount', 7)) FROM generate_series(1, %s) n", (connections * ACCOUNTS, count))
    db.execute("VACUUM ANALYZE rowcrew.job_queue, shop.account")
    db.execute("CHECKPOINT") if db.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") else None
    node = Node(db, program="rowcrewd", database={"handler_threads": connections}, log={"format": "json", "level": "warning"},
                kinds={"sql": {"allow": {"charge": {"function": "shop.charge", "batch": batch}}}},
                queues={"default": max(64, 8 * batch)}, node={"name": "bench", "stop_within": "10s"})
    try:
        wait_for("every job to end", lambda: db.unfinished() == 0, 600, every=0.5)
        node.stop()
    finally:
        node.close()
    if db.value("SELECT count(DISTINCT job) FROM shop.ledger") != count or db.value("SELECT count(*) FROM shop.ledger") != count:
        raise AssertionError("an effect is missing or double")
    seconds = db.value("SELECT extract(epoch FROM max(completed_at) - min(started_at)) FROM rowcrew.job_queue")
    return count / float(seconds)


def spread(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    args = parser.parse_args()
    db = Database()
    try:
        db.execute(SCHEMA)
        db.execute("INSERT INTO shop.account SELECT generate_series(1, %s)", (args.connections * ACCOUNTS,))
        print(f"fsync {db.value('SHOW fsync')}, synchronous_commit {db.value('SHOW synchronous_commit')}, "
              f"{args.connections} connections, {args.jobs} jobs, {args.rounds} rounds", flush=True)
        for batch in BATCHES:
            bare, ours = [], []
            for _ in range(args.rounds):
                bare.append(pgbench(db, batch, args.connections, args.seconds))
                ours.append(jobs(db, batch, args.connections, args.jobs))
            ratio = statistics.median(ours) / statistics.median(bare)
            print(f"{batch:>2} per commit: pgbench {spread(bare)} calls/s, sql jobs {spread(ours)}/s, ratio {ratio:.2f}", flush=True)
    finally:
        db.drop()


if __name__ == "__main__":
    main()
