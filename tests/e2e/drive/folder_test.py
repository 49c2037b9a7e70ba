#!/usr/bin/python3
"""rowcrew-folder as a program: what it reports of a folder, and what it leaves alone."""
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

FOLDER = pathlib.Path(os.environ["ROWCREW_BIN"]) / "rowcrew-folder"
VERSION = ("device", "inode", "size", "mtime_ns")
OLD = 1_700_000_000_000_000_000


class FolderProgram(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-folder-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def ask(self, known=(), user=None, path=None, within=20, **more):
        request = {"path": str(path or self.dir), "settle_ms": 100, "known": [{k: f[k] for k in VERSION} for f in known],
                   "extensions": ["jpg", "jpeg", "png", "webp"], "max_files": 200, "max_bytes": 1 << 20, **more}
        command = ([] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]) + [str(FOLDER)]
        done = subprocess.run(command, input=json.dumps(request).encode(), capture_output=True, timeout=within)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def names(self, report):
        return sorted(f["name"] for f in report["files"])

    def put(self, name, content=b"image", settled=True):
        path = os.path.join(os.fsencode(self.dir), name if isinstance(name, bytes) else os.fsencode(name))
        with open(path, "wb") as file:
            file.write(content)
        if settled:
            os.utime(path, ns=(OLD, OLD))
        return path

    def test_a_settled_file_is_reported_with_its_version_and_content(self):
        path = self.put("photo.jpg", b"x" * 300_000)
        status = os.stat(path)
        self.assertEqual(self.ask(), {"more": False, "young": 0, "files": [{
            "name": "photo.jpg", "path": f"{self.dir}/photo.jpg", "device": status.st_dev, "inode": status.st_ino, "size": 300_000,
            "mtime_ns": OLD, "sha256": hashlib.sha256(b"x" * 300_000).hexdigest()}]})

    def test_only_images_that_are_regular_visible_files_are_taken(self):
        for name in ("a.jpg", "b.JPEG", "c.PnG", "d.webp", ".hidden.jpg", "e.jpg.part", "f.PART", "g.txt", "jpg", "h.", "i.gif"):
            self.put(name)
        (self.dir / "folder.jpg").mkdir()
        self.put("folder.jpg/inside.jpg")
        os.mkfifo(self.dir / "pipe.jpg")
        (self.dir / "link.jpg").symlink_to("a.jpg")
        (self.dir / "dangling.jpg").symlink_to("nowhere")
        (self.dir / "device.jpg").symlink_to("/dev/zero")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.dir / "socket.jpg"))
            if os.geteuid() == 0:
                try:
                    os.mknod(self.dir / "null.jpg", 0o20644, os.makedev(1, 5))  # /dev/zero: never ends
                except PermissionError:
                    pass
            report = self.ask()
        self.assertEqual(self.names(report), ["a.jpg", "b.JPEG", "c.PnG", "d.webp"])
        self.assertEqual(report["young"], 0)
        self.assertEqual(self.names(self.ask(extensions=["gif"])), ["i.gif"])

    def test_any_characters_survive(self):
        names = ["new\nline.jpg", 'quo"te\'s.png', "back\\slash.jpg", "smile \U0001F600 é.webp", "tab\there.jpg", "\x01\x7f.jpg",
                 " lead.jpg", "-rf.jpg", "$(reboot).jpg", "{port:x}.jpg", "%s%n.jpg", "e\u0301.jpg", "\u202egpj.exe.jpg"]
        for name in names:
            self.put(name, name.encode())
        report = self.ask()
        self.assertEqual(self.names(report), sorted(names))
        for file in report["files"]:
            self.assertEqual(file["sha256"], hashlib.sha256(file["name"].encode()).hexdigest())
            self.assertEqual(file["path"], f"{self.dir}/{file['name']}")

    def test_a_name_that_is_no_utf8_is_a_problem_told_once(self):
        for name in (b"caf\xe9.jpg", b"cut\xc3.jpg", b"surrogate\xed\xa0\x80.jpg", b"overlong\xc0\xaf.jpg"):
            self.put(name)
        self.put("fine.jpg")
        report = self.ask()
        problems = [f for f in report["files"] if "problem" in f]
        self.assertEqual({f["problem"] for f in problems}, {"file_name"})
        self.assertEqual(len(problems), 4)
        self.assertIn("caf\ufffd.jpg", [f["name"] for f in problems])
        for file in problems:
            self.assertNotIn("sha256", file)
            self.assertIn("UTF-8", file["message"])
        self.assertEqual(self.ask(known=report["files"])["files"], [])

    def test_what_is_known_is_not_reported_and_not_read_again(self):
        path = self.put("photo.jpg")
        report = self.ask()
        os.utime(path, ns=(OLD, OLD))  # access time: relatime moves it again at the next read
        before = os.stat(path).st_atime_ns
        self.assertEqual(self.ask(known=report["files"])["files"], [])
        self.assertEqual(os.stat(path).st_atime_ns, before)

    def test_a_renamed_file_is_no_new_one(self):
        self.put("photo.jpg")
        known = self.ask()["files"]
        os.rename(self.dir / "photo.jpg", self.dir / "renamed.jpg")
        self.assertEqual(self.ask(known=known), {"files": [], "more": False, "young": 0})

    def test_a_copy_is_a_new_file_of_the_same_content(self):
        self.put("photo.jpg")
        known = self.ask()["files"]
        shutil.copy2(self.dir / "photo.jpg", self.dir / "copy.jpg")
        files = self.ask(known=known)["files"]
        self.assertEqual([f["name"] for f in files], ["copy.jpg"])
        self.assertEqual(files[0]["sha256"], known[0]["sha256"])
        self.assertNotEqual(files[0]["inode"], known[0]["inode"])

    def test_a_file_rewritten_in_place_is_reported_again(self):
        path = self.put("photo.jpg", b"first")
        known = self.ask()["files"]
        with open(path, "r+b") as file:
            file.write(b"other")
        os.utime(path, ns=(OLD, OLD + 1))
        files = self.ask(known=known)["files"]
        self.assertEqual((files[0]["inode"], files[0]["mtime_ns"]), (known[0]["inode"], OLD + 1))
        self.assertEqual(files[0]["sha256"], hashlib.sha256(b"other").hexdigest())

    def test_a_file_that_grows_is_left_alone_until_it_rests(self):
        path = self.put("growing.jpg", settled=False)
        stop = threading.Event()

        def grow():
            with open(path, "ab", buffering=0) as file:
                while not stop.wait(0.01):
                    file.write(b"more")

        writer = threading.Thread(target=grow)
        writer.start()
        try:
            self.assertEqual(self.ask(settle_ms=1000), {"files": [], "more": False, "young": 1})
        finally:
            stop.set()
            writer.join()
        report = self.ask(settle_ms=0)
        self.assertEqual(report["files"][0]["sha256"], hashlib.sha256(pathlib.Path(os.fsdecode(path)).read_bytes()).hexdigest())

    def test_a_fresh_file_is_taken_after_one_settle_time(self):
        self.put("fresh.jpg", settled=False)
        began = time.monotonic()
        self.assertEqual(self.names(self.ask(settle_ms=2000)), ["fresh.jpg"])
        self.assertGreater(time.monotonic() - began, 1.9)
        began = time.monotonic()
        self.assertEqual(self.names(self.ask(settle_ms=0)), ["fresh.jpg"])
        self.assertLess(time.monotonic() - began, 1.9)

    def test_a_time_in_the_future_settles_by_the_second_look(self):
        path = self.put("future.jpg")
        future = time.time_ns() + 3600 * 10**9
        os.utime(path, ns=(future, future))
        self.assertEqual(self.ask()["files"][0]["mtime_ns"], future)

    def test_an_empty_file_is_a_file(self):
        self.put("empty.jpg", b"")
        self.assertEqual(self.ask()["files"][0]["sha256"], hashlib.sha256(b"").hexdigest())

    def test_ten_thousand_files_come_in_parts_the_oldest_first(self):
        for n in range(10_000):
            path = self.put(f"{n}.jpg", b"%d" % n)
            os.utime(path, ns=(OLD + n, OLD + n))
        known = []
        report = self.ask()
        self.assertEqual([f["name"] for f in report["files"]], [f"{n}.jpg" for n in range(200)])
        self.assertTrue(report["more"])
        for _ in range(3):  # 200, 4000, 4000, 1800
            known += report["files"]
            report = self.ask(known=known, max_files=4000)
        self.assertFalse(report["more"])
        known += report["files"]
        self.assertEqual(sorted(f["mtime_ns"] for f in known), list(range(OLD, OLD + 10_000)))
        self.assertEqual(self.ask(known=known)["files"], [])

    def test_bytes_are_bounded(self):
        for n in range(5):
            os.utime(self.put(f"{n}.jpg", b"x" * 400), ns=(OLD + n, OLD + n))
        report = self.ask(max_bytes=1000)
        self.assertEqual((self.names(report), report["more"]), (["0.jpg", "1.jpg"], True))
        report = self.ask(max_bytes=399)
        self.assertEqual({f["problem"] for f in report["files"]}, {"file_too_large"})
        self.assertEqual(self.ask(known=report["files"], max_bytes=399)["files"], [])

    def test_a_file_too_slow_for_a_look_is_named_and_keeps_no_other_waiting(self):
        os.truncate(self.put("slow.jpg"), 1 << 40)  # holes: nothing on the disk, an hour to read
        os.utime(self.dir / "slow.jpg", ns=(OLD - 1, OLD - 1))
        for n in range(3):
            self.put(f"{n}.jpg")
        report = self.ask(max_bytes=2 << 40, max_ms=400)
        self.assertEqual([(f["name"], f.get("problem")) for f in report["files"]],
                         [("0.jpg", None), ("1.jpg", None), ("2.jpg", None), ("slow.jpg", "file_slow")])
        self.assertEqual((report["young"], report["more"]), (0, False))

    def test_a_file_that_takes_more_than_its_share_is_read_behind_the_others(self):
        os.truncate(self.put("large.jpg", b""), 64 << 20)
        os.utime(self.dir / "large.jpg", ns=(OLD - 1, OLD - 1))
        self.put("small.jpg")
        max_ms = 10
        while (report := self.ask(max_bytes=1 << 30, max_ms=max_ms))["files"][-1].get("problem") == "file_slow":
            max_ms *= 2  # twice the time that was too short is less than a share of it
        self.assertEqual([f["name"] for f in report["files"]], ["small.jpg", "large.jpg"])
        self.assertEqual(report["files"][1]["sha256"], hashlib.sha256(bytes(64 << 20)).hexdigest())

    def test_a_file_that_changes_under_an_old_time_costs_the_others_nothing(self):
        # As on a server whose clock is behind: every change of it looks settled.
        path = self.put("changes.jpg")
        os.truncate(path, 600 << 20)
        os.utime(path, ns=(OLD - 1, OLD - 1))
        self.put("small.jpg", b"x" * 4096)
        stop = threading.Event()

        def change():
            for n in itertools.count(1):
                if stop.is_set():
                    return
                os.utime(path, ns=(OLD - n, OLD - n))

        writer = threading.Thread(target=change)
        writer.start()
        try:
            report = self.ask(settle_ms=0, max_bytes=600 << 20)
        finally:
            stop.set()
            writer.join()
        self.assertEqual((self.names(report), report["young"], report["more"]), (["small.jpg"], 1, False))

    def test_many_old_problems_do_not_hide_what_is_new(self):
        for n in range(20):
            self.put(b"\xff%d.jpg" % n)
            self.put(f"large{n}.jpg", b"x" * 2000)
        os.utime(self.put("new.jpg"), ns=(OLD + 1, OLD + 1))
        report = self.ask(max_files=3, max_bytes=1000)
        self.assertEqual([f["name"] for f in report["files"] if "problem" not in f], ["new.jpg"])
        self.assertEqual((len(report["files"]), report["more"]), (4, False))

    def test_a_file_that_changes_while_it_is_read_is_young(self):
        path = self.put("large.jpg")
        os.truncate(path, 1 << 30)
        os.utime(path, ns=(OLD, OLD))
        request = {"path": str(self.dir), "settle_ms": 0, "known": [], "extensions": ["jpg"], "max_files": 9, "max_bytes": 1 << 40}
        with subprocess.Popen([FOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            child.stdin.write(json.dumps(request).encode())
            child.stdin.close()
            fds = f"/proc/{child.pid}/fd"
            end = time.monotonic() + 10

            def open_file(fd):
                try:
                    return os.readlink(f"{fds}/{fd}")
                except FileNotFoundError:  # closed since it was listed
                    return ""

            while not any(open_file(fd) == os.fsdecode(path) for fd in os.listdir(fds)):
                self.assertLess(time.monotonic(), end)
            with open(path, "r+b") as file:
                file.write(b"changed")
            self.assertEqual(json.loads(child.stdout.read()), {"files": [], "more": False, "young": 1})

    def test_troubles_of_the_folder_have_names(self):
        self.put("file.jpg")
        self.assertEqual(self.ask(path=self.dir / "none")["error"]["code"], "folder_missing")
        self.assertEqual(self.ask(path=self.dir / "file.jpg")["error"]["code"], "not_a_folder")
        self.assertEqual(self.ask(path=self.dir / "file.jpg/x")["error"]["code"], "not_a_folder")
        os.mkfifo(self.dir / "pipe")
        self.assertEqual(self.ask(path=self.dir / "pipe", within=5)["error"]["code"], "not_a_folder")
        (self.dir / "round").symlink_to("round")
        self.assertEqual(self.ask(path=self.dir / "round")["error"]["code"], "folder_unreadable")
        self.assertTrue(self.ask(path=self.dir / "none")["error"]["message"].endswith("."))

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_without_permission_the_folder_or_the_file_is_named(self):
        os.chmod(self.dir, 0o755)
        os.chmod(self.put("secret.jpg"), 0o600)
        os.chmod(self.put("open.jpg"), 0o644)
        report = self.ask(user=65534)
        files = {f["name"]: f for f in report["files"]}
        self.assertIn("sha256", files["open.jpg"])
        self.assertEqual(files["secret.jpg"]["problem"], "file_unreadable")
        self.assertNotIn("sha256", files["secret.jpg"])
        # Once recorded it is quiet: nothing tries to open it.
        self.assertEqual(self.ask(known=report["files"], user=65534)["files"], [])
        os.chmod(self.dir, 0o700)
        self.assertEqual(self.ask(user=65534)["error"]["code"], "folder_unreadable")

    @unittest.skipIf(any(word in FOLDER.read_bytes() for word in (b"__asan_init", b"__tsan_init")), "a sanitizer needs terabytes")
    def test_too_little_memory_is_told_and_a_million_known_files_need_little(self):
        for n in range(3000):
            self.put(f"{n:0240}.jpg", b"")
        known = ",".join('{"device":1,"inode":%d,"size":1,"mtime_ns":%d}' % (n, n) for n in range(1_000_000))
        request = ('{"path":%s,"settle_ms":0,"extensions":["jpg"],"max_files":1,"max_bytes":1,"known":[%s]}'
                   % (json.dumps(str(self.dir)), known)).encode()

        def limited(megabytes):
            command = ["prlimit", f"--as={megabytes << 20}", str(FOLDER)]
            return json.loads(subprocess.run(command, input=request, capture_output=True, timeout=60, check=True).stdout)

        self.assertEqual(len(limited(512)["files"]), 1)
        self.assertEqual(limited(96)["error"]["code"], "folder_too_large")

    def test_a_list_of_known_files_that_is_none_is_refused_and_not_taken_for_empty(self):
        self.put("photo.jpg")
        for known in (5, "[]", {}, [5], [[]]):
            with self.subTest(known=known):
                request = {"path": str(self.dir), "settle_ms": 0, "extensions": ["jpg"], "max_files": 1, "max_bytes": 9, "known": known}
                done = subprocess.run([str(FOLDER)], input=json.dumps(request).encode(), capture_output=True, timeout=20)
                self.assertEqual((done.returncode, done.stdout), (64, b""), done.stderr)

    def test_a_malformed_request_ends_with_64(self):
        good = {"path": "/tmp", "settle_ms": 1, "known": [], "extensions": ["jpg"], "max_files": 1, "max_bytes": 1}
        for change in ({"path": "tmp"}, {"path": 1}, {"settle_ms": -1}, {"known": [{"device": 1}]}, {"max_files": 0},
                       {"extensions": []}, {"known": [{"device": "1", "inode": 1, "size": 1, "mtime_ns": 1}]}):
            with self.subTest(change):
                done = subprocess.run([FOLDER], input=json.dumps({**good, **change}).encode(), capture_output=True, timeout=10)
                self.assertEqual((done.returncode, done.stdout), (64, b""), done.stderr)
        for text in (b"", b"[]", b"{", b"nonsense"):
            done = subprocess.run([FOLDER], input=text, capture_output=True, timeout=10)
            self.assertEqual(done.returncode, 64)


if __name__ == "__main__":
    unittest.main(verbosity=2)
