#!/usr/bin/python3
"""The whole way of many 12-megapixel photos: photos per second and core of a real node, its memory and
that of its child programs, beside a plain `vipsthumbnail` loop over the same files. The preset
crop_only does what that loop does, and so gives the ratio; portrait_pro does much more.

Usage: photos_bench.py [--photos 300] [--slots 2] [--preset crop_only|portrait_pro]     with ROWCREW_BIN, ROWCREW_SOURCE and
ROWCREW_TEST_DATABASE_URL as the tests have them; a release build gives the figures that count.
"""
import argparse
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "e2e"))
from support.studio import Receiver, Studio, drop_template, jpeg  # noqa: E402

SIZE = (3000, 4000)


def peak_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0


class Peaks(threading.Thread):
    """The highest VmHWM of the node and of any child program, looked at all the time."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.child, self.pid, self.going = 0, 0, node.pid, True

    def run(self):
        while self.going:
            for entry in pathlib.Path("/proc").iterdir():
                try:
                    if entry.name.isdigit() and (entry / "comm").read_text().startswith("rowcrew-image"):
                        self.child = max(self.child, peak_mb(entry.name))
                except OSError:
                    continue
            try:
                self.node = max(self.node, peak_mb(self.pid))
            except OSError:
                return
            time.sleep(0.02)


def fleet(studio, photos, slots):
    node = studio.node(queues={"default": 8, "generation": slots}, node={"lease": "30s"}, log={"level": "warning"})
    peaks = Peaks(node)
    peaks.start()
    studio.wait_settled(photos, 1800)
    first, last = studio.db.execute("SELECT extract(epoch FROM min(started_at)), extract(epoch FROM max(completed_at)) "
                                    "FROM rowcrew.processing_jobs")[0]
    peaks.going = False
    peaks.join()
    node.stop()
    return float(last - first), peaks


def plain_loop(studio, slots):
    files = sorted(str(p) for p in studio.inbox.glob("*.jpg"))
    out = studio.home / "plain"
    out.mkdir()
    began = time.monotonic()
    lanes = [subprocess.Popen(["sh", "-c", 'for f; do VIPS_CONCURRENCY=1 vipsthumbnail "$f" --size 1600x2000 --smartcrop attention '
                               f'-o {out}/%s.jpg[Q=90]; done', "sh", *files[n::slots]]) for n in range(slots)]
    for lane in lanes:
        lane.wait()
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--preset", default="crop_only")
    args = parser.parse_args()
    with Studio(Receiver(), "bench", "studio") as studio:
        studio.db.execute("INSERT INTO rowcrew.preset (name, workflow) VALUES ('crop_only', "
                          "'{\"steps\": [{\"step\": \"crop\", \"width\": 1600, \"height\": 2000, \"gravity\": \"attention\"}]}')")
        studio.db.execute("UPDATE demo.watched_folder SET preset = %s", (args.preset,))
        originals = [jpeg(n, SIZE) for n in range(6)]
        for n in range(args.photos):
            # A comment of its own makes each file another photo with the same work in it.
            studio.drop_in(f"p{n}.jpg", originals[n % len(originals)][:2] + b"\xff\xfe\x00\x08%06d" % n + originals[n % len(originals)][2:])
        took, peaks = fleet(studio, args.photos, args.slots)
        processed = studio.progress()[2]
        plain = plain_loop(studio, args.slots)
        rate = args.photos / took
        print(f"{processed} of {args.photos} photos of {SIZE[0] * SIZE[1] / 1e6:.0f} megapixels, {args.preset}, {args.slots} at a time: {took:.1f} s, "
              f"{rate:.2f}/s, {rate / args.slots:.2f} per second and core")
        print(f"node {peaks.node:.1f} MB, largest child {peaks.child:.1f} MB (peak RSS)")
        print(f"vipsthumbnail loop, {args.slots} at a time (reduction and crop alone): {args.photos / plain:.2f}/s; ratio {plain / took:.2f}")
    drop_template()


if __name__ == "__main__":
    main()
