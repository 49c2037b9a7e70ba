#!/usr/bin/python3
"""Bad input of every kind: each is one failed job with a code of its own, or a retry where waiting
helps; nothing else stops."""
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from support.fleet import BIN, wait_for  # noqa: E402
from support.studio import Receiver, Studio, drop_template, jpeg, png, zip_bytes  # noqa: E402

GOOD = {f"good{n}.jpg": jpeg(n, (400, 500)) for n in range(4)}
STRANGE = "a \n'quoted\" \U0001F600.jpg"


def huge_png(side=40_000):
    """Grey, one bit a pixel: small on disk, 1.6 gigapixels to decode."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + side // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def damaged(picture):
    middle = len(picture) // 2
    return picture[:middle] + bytes(64) + picture[middle + 64:]


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.receiver = Receiver()

    @classmethod
    def tearDownClass(cls):
        drop_template()

    def studio(self):
        studio = Studio(self.receiver, self.id().rpartition(".")[2])
        self.addCleanup(studio.__exit__)
        return studio

    def codes(self, studio):
        return dict(studio.db.execute("SELECT name, coalesce(error_code, status) FROM demo.photo"))

    def run_to_end(self, studio, files, env=None, **settings):
        for name, content in files.items():
            studio.drop_in(name, content)
        node = studio.node(env=env, **settings).ready()
        studio.wait_settled(len(files), 60)
        self.assertEqual(node.process.poll(), None, "the node is still there")
        self.assertEqual(node.lines("job.crashed"), [])
        return self.codes(studio)

    def test_every_broken_file_fails_with_its_own_code_and_the_good_ones_are_done(self):
        studio = self.studio()
        found = self.run_to_end(studio, {
            **GOOD, "torn.jpg": jpeg(9)[:9000], "archive.jpg": zip_bytes(), "empty.jpg": b"", "huge.png": huge_png(),
            "text.jpg": b"Dear Sir or Madam,\n", STRANGE: jpeg(7, (300, 300)),
            "damaged.png": damaged(png(5))})
        self.assertEqual(found, {
            **{name: "done" for name in GOOD}, STRANGE: "done", "torn.jpg": "image_truncated", "archive.jpg": "not_an_image",
            "empty.jpg": "file_empty", "huge.png": "image_too_large", "text.jpg": "not_an_image", "damaged.png": "image_corrupt"})
        result = studio.result()
        self.assertEqual(result["usage"], [(5, 6, 0, 0, 0, 5)])
        self.assertEqual((result["webhooks"], result["verified"], len(result["mailbox"])), (11, True, 11))
        self.assertEqual(len(result["outputs"]), 5)

    def check_accident(self, what, code, **generation):
        studio = self.studio()
        once = studio.home / "happened"
        found = self.run_to_end(studio, GOOD, env={"ROWCREW_IMAGE_FAULT": what, "ROWCREW_IMAGE_FAULT_FILE": str(once)},
                                kinds={"email": {"templates": str(pathlib.Path(os.environ["ROWCREW_SOURCE"], "etc/mail"))},
                                       "generation": generation})
        self.assertEqual(sorted(found.values()), sorted([code, "done", "done", "done"]))
        self.assertEqual(studio.db.execute("SELECT attempts, crashes FROM rowcrew.processing_jobs WHERE status = 'failed'"), [(1, 0)])
        self.assertEqual([n for n in studio.outputs() if n.startswith(".")], [])

    def test_a_decoder_that_crashes_costs_its_own_job_only(self):
        self.check_accident("crash", "decoder_crashed")

    def test_a_decoder_that_loops_is_ended_and_costs_its_own_job_only(self):
        self.check_accident("loop", "decoder_timeout", timeout="3s")

    def test_a_decoder_that_eats_memory_costs_its_own_job_only(self):
        self.check_accident("memory", "decoder_memory", max_memory="512MiB")

    def test_a_preset_that_is_unknown_or_switched_off_fails_the_photo(self):
        studio = self.studio()
        studio.db.execute("UPDATE demo.watched_folder SET preset = 'nobody_knows'")
        self.assertEqual(self.run_to_end(studio, {"a.jpg": GOOD["good1.jpg"]}), {"a.jpg": "preset_unknown"})
        studio.db.execute("UPDATE demo.watched_folder SET preset = 'product_clean'")
        studio.db.execute("UPDATE rowcrew.preset SET is_active = false WHERE name = 'product_clean'")
        studio.drop_in("b.jpg", GOOD["good2.jpg"])
        studio.wait_settled(2)
        self.assertEqual(self.codes(studio)["b.jpg"], "preset_inactive")

    def test_a_mail_address_with_a_newline_fails_the_mail_and_not_the_photo(self):
        studio = self.studio()
        studio.db.execute("UPDATE demo.account SET email = E'ada@example.com\\nBcc: all@example.com'")
        self.assertEqual(self.run_to_end(studio, {"a.jpg": GOOD["good1.jpg"]}), {"a.jpg": "done"})
        self.assertEqual(studio.db.execute("SELECT status, error_code FROM rowcrew.email_notifications"), [("failed", "bad_address")])
        self.assertEqual(studio.mails(), [])

    def test_a_webhook_endpoint_that_is_down_is_tried_again_under_the_same_id(self):
        studio = self.studio()
        self.receiver.refuse[studio.path] = [503]
        node_kinds = {"email": {"templates": str(pathlib.Path(os.environ["ROWCREW_SOURCE"], "etc/mail"))},
                      "webhook": {"retry_schedule": ["0s", "200ms"]}}
        self.run_to_end(studio, {"a.jpg": GOOD["good1.jpg"]}, kinds=node_kinds)
        ids = self.receiver.ids(studio.path)
        self.assertEqual((len(ids), len(set(ids))), (2, 1))
        self.assertEqual(studio.db.execute("SELECT status, attempts FROM rowcrew.webhook_deliveries"), [("delivered", 2)])

    def reachable(self, program):
        """A copy that everybody may run: the build may lie below a folder that is closed to others."""
        copy = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-bin-"))
        self.addCleanup(shutil.rmtree, copy)
        copy.chmod(0o755)
        return shutil.copy(BIN / program, copy)

    def test_a_folder_that_may_not_be_read_fails_its_polls_and_is_taken_up_when_it_may(self):
        studio = self.studio()
        studio.home.chmod(0o755)
        studio.drop_in("a.jpg", GOOD["good1.jpg"])
        studio.inbox.chmod(0)
        kinds = {}
        if os.geteuid() == 0:  # who may read everything: the program that looks runs as somebody else
            program = studio.home / "as-nobody"
            program.write_text(f"#!/bin/sh\nexec setpriv --reuid=nobody --regid=nogroup --clear-groups {self.reachable('rowcrew-folder')}\n")
            program.chmod(0o755)
            kinds["drive_poll"] = {"program": str(program)}
        studio.node(kinds=kinds).ready()

        def last_poll():
            rows = studio.db.execute("SELECT poll_status, error_code FROM demo.drive_polls")
            return rows and rows[0]
        wait_for("the poll to fail", lambda: last_poll() == ("error", "folder_unreadable"))
        studio.inbox.chmod(0o755)
        studio.wait_settled(1)
        self.assertEqual(self.codes(studio), {"a.jpg": "done"})
        wait_for("the poll to be good again", lambda: last_poll() == ("success", None))

    def test_a_full_disk_is_waited_for_and_leaves_nothing_half_written(self):
        studio = self.studio()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(studio.portraits)], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("cannot mount a small file system here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(studio.portraits)])
        studio.db.execute("INSERT INTO rowcrew.job_type (name, backoff_base_ms, backoff_cap_ms) VALUES ('generation', 200, 400)"
                          " ON CONFLICT (name) DO UPDATE SET backoff_base_ms = 200, backoff_cap_ms = 400")
        studio.drop_in("a.jpg", GOOD["good1.jpg"])
        studio.node().ready()
        wait_for("a retry", lambda: studio.db.execute("SELECT 1 FROM rowcrew.processing_jobs WHERE error_code = 'disk_full'"))
        self.assertEqual([n for n in studio.outputs() if not n.startswith('.')], [])
        subprocess.run(["mount", "-o", "remount,size=8m", str(studio.portraits)], check=True)
        studio.wait_settled(1)
        self.assertEqual(self.codes(studio), {"a.jpg": "done"})
        self.assertEqual(studio.db.value("SELECT images_failed FROM demo.usage_tracking"), 0)
        self.assertEqual([n for n in studio.outputs() if n.startswith(".")], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
