#!/usr/bin/python3
"""How fast rowcrew-image is beside libvips' own tools, on generated 12-megapixel JPEGs.

Usage: images_bench.py [N]          (30 pictures; ROWCREW_BIN names the folder of rowcrew-image)

Two pairs, run in turn on the same pictures, one process at a time:
  thumbnail  the crop alone                        beside vipsthumbnail --smartcrop attention
  portrait   the steps of the preset portrait_pro  beside vipsthumbnail and the same steps with `vips`

Prints seconds of wall and processor time per picture, throughput of ours over theirs (above 1: ours
is faster), and the largest resident memory of one process.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e" / "images"))
os.environ.setdefault("ROWCREW_BIN", str(pathlib.Path(__file__).resolve().parents[2] / "build/test/bin"))
from pictures import PORTRAIT, PROGRAM, encoded, photo  # noqa: E402

ONE_THREAD = dict(os.environ, VIPS_CONCURRENCY="1", MALLOC_ARENA_MAX="2")


class Total:
    def __init__(self):
        self.wall = self.cpu = self.peak = 0.0

    def run(self, argv, text=""):
        began = time.monotonic()
        # A real fork: after vfork the child's peak would be this script's.
        process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=ONE_THREAD,
                                   preexec_fn=lambda: None)
        process.stdin.write(text.encode())
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{argv[0]} ended with {process.returncode}")
        self.wall += time.monotonic() - began
        self.cpu += usage.ru_utime + usage.ru_stime
        self.peak = max(self.peak, usage.ru_maxrss / 1024)


def ours(total, source, folder, steps):
    target = folder / "ours.jpg"
    total.run([PROGRAM], json.dumps({"source": str(source), "target": str(target), "workflow": {"steps": steps},
                                     "part": str(folder / ".ours.jpg.1.part")}))


def thumbnail(total, source, target):
    total.run(["vipsthumbnail", source, "--size", "1600x2000", "--smartcrop", "attention", "-o", target])


def theirs_thumbnail(total, source, folder):
    thumbnail(total, source, f"{folder}/theirs.jpg[Q=90,optimize_coding]")


def theirs_portrait(total, source, folder):
    at = [f"{folder}/{i}.v" for i in range(8)]
    thumbnail(total, source, at[0])
    total.run(["vips", "rank", at[0], at[1], 3, 3, 4])
    total.run(["vips", "linear", at[1], at[2], "1.03", "0", "--uchar"])
    total.run(["vips", "gaussblur", at[2], at[3], 20, "--precision", "integer"])
    total.run(["vips", "subtract", at[2], at[3], at[4]])
    total.run(["vips", "linear", at[4], at[5], "0.22", "0"])
    total.run(["vips", "add", at[2], at[5], at[6]])
    total.run(["vips", "cast", at[6], at[7], "uchar"])
    total.run(["vips", "sharpen", at[7], f"{folder}/theirs.jpg[Q=90,optimize_coding]", "--sigma", "0.8"])


def report(name, mine, other, count):
    print(f"{name:10} ours {mine.wall / count:.3f} s wall {mine.cpu / count:.3f} s cpu {mine.peak:.0f} MB; "
          f"theirs {other.wall / count:.3f} s wall {other.cpu / count:.3f} s cpu {other.peak:.0f} MB; "
          f"throughput ratio {other.wall / mine.wall:.2f} wall {other.cpu / mine.cpu:.2f} cpu")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    pairs = {name: (Total(), Total()) for name in ("thumbnail", "portrait")}
    with tempfile.TemporaryDirectory(prefix="rowcrew-bench-") as name:
        folder = pathlib.Path(name)
        for i in range(count):
            source = folder / "source.jpg"
            source.write_bytes(encoded(photo(4000, 3000, seed=i + 1), "JPEG", quality=92))
            # Who goes first takes turns, too.
            for first in (i % 2, 1 - i % 2):
                if first:
                    ours(pairs["thumbnail"][0], source, folder, PORTRAIT[:1])
                    ours(pairs["portrait"][0], source, folder, PORTRAIT)
                else:
                    theirs_thumbnail(pairs["thumbnail"][1], source, folder)
                    theirs_portrait(pairs["portrait"][1], source, folder)
    for pair, (mine, other) in pairs.items():
        report(pair, mine, other, count)


if __name__ == "__main__":
    main()
