#!/usr/bin/python3
"""rowcrew dev as its user sees it: sample photos become portraits, mails and webhooks go out, and
nothing is left running. The pictures are judged with PIL, not with what made them."""
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from PIL import Image, ImageOps

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, SOURCE, Database, wait_for  # noqa: E402

Image.MAX_IMAGE_PIXELS = None
SAMPLES = SOURCE / "samples"
EXPECTED = json.loads((SAMPLES / "expected.json").read_text())["photos"]
DONE = [photo for photo in EXPECTED if photo["expect"] == "done"]


class Dev:
    """One run of `rowcrew dev` in a state folder."""

    def __init__(self, db, state, *options):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ROWCREW_")}
        environment["ROWCREW_DATABASE_URL"] = db.url
        self.state = state
        self.out = tempfile.TemporaryFile("w+")
        self.err = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([str(BIN / "rowcrew"), "dev", "--state", str(state), *map(str, options)],
                                        stdout=self.out, stderr=self.err, env=environment)

    @staticmethod
    def text(file):
        # Read by offset: the descriptor's own offset is the writer's, too.
        return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")

    @property
    def stdout(self):
        return self.text(self.out)

    @property
    def stderr(self):
        return self.text(self.err)

    def children(self):
        """{program: pid} of the three programs below it."""
        found = {}
        for child in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
            found[os.path.basename(words[0])] = int(child)
        return found

    def running(self):
        def seen():
            if self.process.poll() is not None:
                raise AssertionError(f"dev ended with {self.process.returncode}:\n{self.stdout}\n{self.stderr}")
            return "watching" in self.stdout

        wait_for("dev to watch its folder", seen, 60)
        return self

    def ended(self, within=150):
        return self.process.wait(timeout=within)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.out.close()
        self.err.close()


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def some_samples(folder, photos):
    """A folder of samples with another list."""
    folder.mkdir()
    for photo in photos:
        with contextlib.suppress(FileExistsError):
            (folder / photo["file"]).symlink_to(SAMPLES / photo["file"])
    (folder / "expected.json").write_text(json.dumps({"photos": photos}))
    return folder


def gray(picture, width, height):
    return list(picture.convert("RGB").convert("L").resize((width, height), Image.BILINEAR).getdata())


def correlation(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    top = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b))
    bottom = (sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)) ** 0.5
    return top / bottom if bottom else 0


def likeness(portrait, source):
    """How well the portrait matches the best 4:5 part of the source, as it is turned; 1: the same."""
    w, h = source.size
    width, height = (w, w * 5 // 4) if w * 5 <= h * 4 else (h * 4 // 5, h)
    seen = gray(portrait, 32, 40)
    best = -1
    for step in range(41):
        left, top = (w - width) * step // 40, (h - height) * step // 40
        best = max(best, correlation(seen, gray(source.crop((left, top, left + width, top + height)), 32, 40)))
    return best


class DevTest(unittest.TestCase):
    def setUp(self):
        self.db = Database(migrate=False)
        self.addCleanup(self.db.drop)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-dev-"))
        self.addCleanup(shutil.rmtree, self.root, True)
        self.state = self.root / "state"

    def dev(self, *options):
        dev = Dev(self.db, self.state, *options)
        self.addCleanup(dev.close)
        return dev

    def few(self, *photos):
        return some_samples(self.root / f"samples{len(list(self.root.iterdir()))}", list(photos))

    def outputs(self):
        return {path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
                for path in (self.state / "portraits").iterdir()
                if not path.name.startswith(".")}

    def once(self, *options):
        dev = self.dev("--once", *options)
        code = dev.ended()
        self.assertEqual(code, 0, f"{dev.stdout}\n{dev.stderr}")
        return dev

    def test_all_samples_become_what_is_expected_and_a_second_run_does_nothing_again(self):
        first = self.once()
        self.check_table(first.stdout)
        self.check_messages()
        for photo in DONE:
            name = photo.get("as", photo["file"])
            with self.subTest(photo=name):
                path, = self.db.execute("SELECT output_path FROM demo.photo WHERE name = %s", (name,))[0]
                self.check_portrait(SAMPLES / photo["file"], pathlib.Path(path))
        before = self.outputs()
        self.assertEqual(len(before), len(DONE))
        started = "SELECT id, started_at, attempts FROM rowcrew.processing_jobs ORDER BY id"
        jobs = self.db.execute(started)

        second = self.once()
        self.assertIn("no photo in this run", second.stdout)
        self.assertEqual(self.outputs(), before)
        self.assertEqual(self.db.execute(started), jobs)
        self.check_messages()
        self.assertEqual(self.db.value("SELECT count(*) FROM rowcrew.webhook_endpoints"), 1)

    def check_table(self, text):
        n, done = len(EXPECTED), len(DONE)
        for line in (f"photos    {n} found, {done} processed, {n - done} failed", f"mails     {n} sent, 0 failed",
                     f"webhooks  {n} delivered, 0 failed, {n} verified in this run",
                     f"all {n} samples ended as expected"):
            self.assertIn(line, text)
        for stage in ("waiting for a slot", "processing", "mail", "webhook"):
            self.assertRegex(text, rf"(?m)^{stage} +\d+ +\d+ +\d+$")
        self.assertRegex(text, r"dogs\.jpg → portraits/dogs-portrait_pro-[0-9a-f]{6}\.jpg \(1600×2000, \d+ ms\)")
        self.assertIn("truncated.jpg ✗ image_truncated: ", text)

    def check_messages(self):
        """One mail and one webhook per photo, whatever happened."""
        n = len(EXPECTED)
        self.assertEqual(len(list((self.state / "mail" / "new").iterdir())), n)
        self.assertEqual(self.db.execute("SELECT status, count(*) FROM rowcrew.email_notifications GROUP BY 1"),
                         [("sent", n)])
        self.assertEqual(self.db.execute("SELECT status, count(*) FROM rowcrew.webhook_deliveries GROUP BY 1"),
                         [("delivered", n)])

    def check_portrait(self, source_path, path):
        source, portrait = Image.open(source_path), Image.open(path)
        width, height = portrait.size
        self.assertEqual(width * 5, height * 4)
        self.assertLessEqual(width, 1600)
        self.assertEqual(portrait.format, source.format)
        self.assertEqual("A" in portrait.getbands(), "A" in source.getbands())
        self.assertEqual(portrait.info.get("icc_profile"), source.info.get("icc_profile"))
        self.assertEqual(dict(portrait.getexif()), {})
        self.assertEqual(dict(portrait.getexif().get_ifd(0x8825)), {})
        self.assertNotEqual(path.read_bytes(), source_path.read_bytes())
        upright = ImageOps.exif_transpose(source)
        upright.thumbnail((400, 400))
        found = likeness(portrait, upright)
        self.assertGreater(found, 0.8, "the portrait does not look like its photo")
        for turn in (Image.ROTATE_90, Image.ROTATE_180, Image.ROTATE_270):
            self.assertLess(likeness(portrait, upright.transpose(turn)), found)

    def test_a_photo_that_is_dropped_while_dev_runs_is_a_portrait_two_seconds_later(self):
        dev = self.dev("--samples", self.few({"file": "rocket.jpg", "expect": "done"})).running()
        wait_for("the sample's portrait", lambda: self.outputs(), 30)
        spans = []
        for number in range(3):
            name = f"dropped-{number}.png"
            part = self.state / "inbox" / f".{name}"
            shutil.copy(SAMPLES / "astronaut.png", part)
            part.rename(part.with_name(name))
            began = time.monotonic()
            wait_for(name, lambda: [n for n in self.outputs() if n.startswith(f"dropped-{number}-")], 30)
            span = time.monotonic() - began
            took = wait_for("its job to be written", lambda: [r for r, in self.db.execute(
                "SELECT extract(epoch FROM q.completed_at - q.started_at)::float FROM rowcrew.processing_jobs q"
                " JOIN demo.photo p ON p.job_id = q.id WHERE p.name = %s AND p.status = 'done'", (name,))])[0]
            spans.append(span - took)
        print(f"seconds from drop to portrait, without processing: {[round(s, 2) for s in spans]}")
        self.assertLess(min(spans), 2.0, spans)
        wait_for("its line", lambda: "dropped-2.png → portraits/dropped-2-portrait_pro-" in dev.stdout)

        children = dev.children()
        self.assertEqual(set(children), {"rowcrew", "rowcrew-ingest", "rowcrewd"})
        dev.process.send_signal(signal.SIGINT)
        self.assertEqual(dev.ended(30), 0, dev.stderr)
        self.assertIn("photos    4 found, 4 processed, 0 failed", dev.stdout)
        self.assertEqual([name for name, pid in children.items() if alive(pid)], [])
        # The server sees the end of a client a moment later.
        wait_for("the sessions to be gone", lambda: self.db.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()") == 0)

    def test_every_difference_from_what_is_expected_is_named(self):
        samples = self.few({"file": "rocket.jpg", "expect": "image_truncated"}, {"file": "empty.jpg", "expect": "done"},
                           {"file": "chelsea.png", "expect": "done"})
        dev = self.dev("--once", "--samples", samples)
        self.assertEqual(dev.ended(), 1)
        self.assertIn("not as expected: rocket.jpg: ended as done, expected image_truncated\n", dev.stderr)
        self.assertIn("not as expected: empty.jpg: ended as file_empty, expected done\n", dev.stderr)
        self.assertEqual(dev.stderr.count("not as expected"), 2)
        self.assertIn("3 found", dev.stdout)

        # The photo is done according to the database, but nobody would find its portrait.
        portrait, = (self.state / "portraits").glob("chelsea-*.png")
        portrait.unlink()
        again = self.dev("--once", "--samples", self.few({"file": "chelsea.png", "expect": "done"}))
        self.assertEqual(again.ended(), 1)
        self.assertIn(f"chelsea.png: its output {portrait} is not there", again.stderr)

    def test_what_has_not_ended_in_time_is_a_failure(self):
        photo = {"file": "rocket.jpg", "expect": "done"}
        self.once("--samples", self.few(photo))  # the schema is there now: a queue can be paused
        self.db.execute("INSERT INTO rowcrew.queue (name, paused) VALUES ('generation', true)")
        late = self.dev("--once", "--within", "8s", "--samples", self.few(photo, {"file": "chelsea.png", "expect": "done"}))
        self.assertEqual(late.ended(60), 1)
        self.assertIn("chelsea.png: ended as queued, expected done", late.stderr)
        self.assertIn("1 photos and 0 messages still waited after 8 s", late.stderr)

    def test_a_program_that_dies_ends_dev_with_its_last_words(self):
        dev = self.dev("--samples", self.few({"file": "empty.jpg", "expect": "file_empty"})).running()
        children = dev.children()
        os.kill(children["rowcrewd"], signal.SIGKILL)
        self.assertEqual(dev.ended(40), 1)
        self.assertIn("node: ended by itself (signal 9)", dev.stderr)
        self.assertIn("event=node.ready", dev.stderr)
        self.assertEqual([name for name, pid in children.items() if alive(pid)], [])

    def test_programs_end_with_dev_even_when_it_is_killed(self):
        dev = self.dev("--samples", self.few({"file": "empty.jpg", "expect": "file_empty"})).running()
        children = dev.children()
        dev.process.kill()
        dev.ended(10)
        wait_for("all programs to end", lambda: not [p for p in children.values() if alive(p)], 30)
        self.assertIn("event=node.stopped", (self.state / "logs" / "node.log").read_text())

    def test_a_folder_of_ones_own_gets_no_samples(self):
        own = self.root / "own photos"
        own.mkdir()
        shutil.copy(SAMPLES / "rocket.jpg", own / "mine.JPG")
        self.once("--folder", own)
        self.assertEqual([path.name for path in own.iterdir()], ["mine.JPG"])
        self.assertEqual(len(self.outputs()), 1)

    def test_wrong_options_are_named(self):
        for options, words in ((["--samples", "/nonexistent"], "--samples: /nonexistent"),
                               (["--within", "5"], "--within"), (["--nonsense"], "nonsense")):
            dev = self.dev(*options)
            self.assertEqual(dev.ended(20), 64, dev.stderr)
            self.assertIn(words, dev.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
