#!/usr/bin/env python3
"""Run the benchmark harness with this product and systems.py among its systems.

    tests/bench/harness/run.py --harness DIR --bin build/release/bin [--peers DIR] -- --suts limit-L1movecur,fleet …

DIR holds the harness (its run.py, adapters and benchlib); nothing is written into it. Whatever follows "--" is its own
command line. --bin: a release build that was configured with -DROWCREW_BENCH=ON. --peers: where npm put the peers.
The environment may say the same: ROWCREW_BENCH_HARNESS, ROWCREW_BENCH_BIN, BENCH_PEERS. Needs the system's Python with
psycopg2.
"""
import argparse
import importlib.util
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def load(name, path):
    """The file as the module of that name, which others may then import."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def fleet_environment(programs):
    """What fleet.env exports, which is a shell's to read."""
    text = subprocess.run(["sh", "-c", f'. "{HERE}/fleet.env"; env -0'], env={**os.environ, "ROWCREW_BENCH_BIN": programs},
                          check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--harness", default=os.environ.get("ROWCREW_BENCH_HARNESS"))
    p.add_argument("--bin", default=os.environ.get("ROWCREW_BENCH_BIN"))
    p.add_argument("--peers", default=os.environ.get("BENCH_PEERS"))
    p.add_argument("rest", nargs="*", help="behind --: the harness's own options")
    opt = p.parse_args()
    if not opt.harness or not pathlib.Path(opt.harness, "run.py").is_file():
        p.error(f"--harness: {opt.harness}, expected the folder of the harness")
    if not opt.bin or not pathlib.Path(opt.bin, "rowcrew-bench-loop").is_file():
        p.error(f"--bin: {opt.bin}, expected a build with rowcrew-bench-loop in it")
    given = dict(os.environ)
    os.environ.update(fleet_environment(str(pathlib.Path(opt.bin).resolve())))
    os.environ.update({k: v for k, v in given.items() if k.startswith("FLEET_")})    # to try another setting
    if opt.peers:
        os.environ["BENCH_PEERS"] = opt.peers
    sys.dont_write_bytecode = True
    harness = load("run", pathlib.Path(opt.harness).resolve() / "run.py")
    load("adapters.systems", HERE / "systems.py")
    harness.MODULES = (*harness.MODULES, "systems")
    sys.argv[1:] = opt.rest
    harness.main()


if __name__ == "__main__":
    main()
