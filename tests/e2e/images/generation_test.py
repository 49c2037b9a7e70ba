#!/usr/bin/python3
"""Generations on real nodes: a preset's result, words for every failure, a kill at every moment."""
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from pictures import PROFILE, encoded, photo, private_exif  # noqa: E402
from PIL import Image  # noqa: E402
from support.fleet import FleetTest, processes, wait_for  # noqa: E402

KINDS = {"generation": {"timeout": "20s"}}


class Generation(FleetTest):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-generation-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.out = self.folder / "out"
        self.out.mkdir()

    def photo(self, name="a.jpg", size=(900, 1200)):
        path = self.folder / name
        path.write_bytes(encoded(photo(*size), "JPEG", icc_profile=PROFILE, exif=private_exif()))
        return path

    def generate(self, source, preset="portrait_pro", provider="presets", attempts=5):
        target = self.out / pathlib.Path(source).name
        return self.db.value(
            "INSERT INTO rowcrew.processing_jobs (type, provider, inputs, max_attempts) VALUES ('generation', %s, "
            "jsonb_build_object('source', %s, 'target', %s, 'preset', %s), %s) RETURNING id",
            (provider, str(source), str(target), preset, attempts))

    def row(self, job):
        return self.db.execute("SELECT status, error_code, error_message, outputs, attempts FROM rowcrew.processing_jobs "
                               "WHERE id = %s", (job,))[0]

    def ended(self, job, within=40):
        wait_for(f"generation {job} to end: {self.row(job)}",
                 lambda: self.row(job)[0] in ("completed", "failed", "cancelled"), within)
        return self.row(job)

    def files(self):
        return sorted(p.name for p in self.out.iterdir())

    def size_of(self, name):
        with Image.open(self.out / name) as picture:
            return picture.size

    def test_every_preset_makes_its_picture(self):
        self.node(kinds=KINDS).ready()
        jobs = {preset: self.generate(self.photo(preset + ".jpg"), preset)
                for preset in ("portrait_pro", "product_clean", "landscape_vivid")}
        for preset, job in jobs.items():
            status, code, message, outputs, _ = self.ended(job)
            self.assertEqual(status, "completed", f"{preset}: {code} {message}")
            picture = Image.open(self.out / f"{preset}.jpg")
            picture.load()
            self.assertEqual(picture.size, (outputs["width"], outputs["height"]))
            self.assertTrue(picture.info["icc_profile"] == PROFILE)
            self.assertEqual(outputs["target"], str(self.out / f"{preset}.jpg"))
            self.assertEqual(set(outputs), {"target", "format", "width", "height", "sha256", "bytes", "took_ms"})
        self.assertEqual(self.size_of("portrait_pro.jpg"), (900, 1125))
        self.assertEqual(self.size_of("product_clean.jpg"), (1200, 1200))
        self.assertEqual(self.size_of("landscape_vivid.jpg"), (900, 1200))
        self.assertEqual(self.files(), ["landscape_vivid.jpg", "portrait_pro.jpg", "product_clean.jpg"])

    def test_every_failure_has_its_word_and_no_retries(self):
        self.db.execute("INSERT INTO rowcrew.preset (name, workflow) VALUES ('odd', '{\"steps\": [{\"step\": \"explode\"}]}')")
        self.db.execute("INSERT INTO rowcrew.preset (name, workflow, is_active) VALUES ('off', '{\"steps\": []}', false)")
        broken = self.folder / "broken.jpg"
        broken.write_bytes(self.photo().read_bytes()[:5000])
        text = self.folder / "text.jpg"
        text.write_text("hello")
        expected = {
            self.generate(self.folder / "none.jpg"): "file_missing",
            self.generate(broken): "image_truncated",
            self.generate(text): "not_an_image",
            self.generate(self.photo(), "nobody"): "preset_unknown",
            self.generate(self.photo(), "off"): "preset_inactive",
            self.generate(self.photo(), "odd"): "preset_invalid",
            self.generate(self.photo(), provider="elsewhere"): "provider_unknown",
            self.generate("relative.jpg"): "bad_payload",
        }
        self.node(kinds=KINDS).ready()
        for job, word in expected.items():
            status, code, message, _, attempts = self.ended(job)
            self.assertEqual((status, code, attempts), ("failed", word, 1), message)
            self.assertNotIn(str(self.folder), message)
        self.assertEqual(self.files(), [])

    def test_a_decoder_that_crashes_loops_or_eats_memory_fails_its_job_and_no_other(self):
        for fault, word in (("crash", "decoder_crashed"), ("loop", "decoder_timeout"), ("memory", "decoder_memory")):
            with self.subTest(fault):
                flag = self.folder / f"flag-{fault}"
                kinds = {"generation": {"timeout": "3s" if fault == "loop" else "60s"}}
                node = self.node(f"victim-{fault}", kinds=kinds, queues={"generation": 1},
                                 env={"ROWCREW_IMAGE_FAULT": fault, "ROWCREW_IMAGE_FAULT_FILE": str(flag)}).ready()
                first = self.generate(self.photo("first.jpg"))
                self.assertEqual(self.ended(first)[:2], ("failed", word))
                second = self.generate(self.photo("second.jpg"))
                self.assertEqual(self.ended(second)[0], "completed")
                self.assertEqual(self.files(), ["second.jpg"])
                self.assertEqual(node.stop()[0], 0)

    def test_a_node_killed_at_any_moment_leaves_a_whole_picture_once_and_no_orphan(self):
        source = self.photo()
        results = set()
        for point in ("image.decoding", "image.before_rename", "image.after_rename"):
            for name in self.files():
                (self.out / name).unlink()
            flag = self.folder / f"flag-{point}"
            victim = self.node(f"victim-{point}", kinds=KINDS, node={"lease": "2s"},
                               env={"ROWCREW_IMAGE_FAULT": f"pause@{point}", "ROWCREW_IMAGE_FAULT_FILE": str(flag)})
            job = self.generate(source)
            wait_for(f"the decoder to come to {point}", flag.exists)
            images = [pid for pid in processes(r"bin/rowcrew-image") if self.reads(pid)]
            victim.kill()
            wait_for("the decoder to die with its node", lambda: not any(map(self.alive, images)))
            rescuer = self.node(f"rescuer-{point}", kinds=KINDS, node={"lease": "2s"})
            status, code, message, outputs, _ = self.ended(job)
            self.assertEqual(status, "completed", f"{point}: {code} {message}")
            self.assertEqual(self.files(), ["a.jpg"])
            results.add(outputs["sha256"])
            self.assertEqual(rescuer.stop()[0], 0)
        self.assertEqual(len(results), 1)

    def reads(self, pid):
        try:
            return str(self.folder) in " ".join(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return False

    @staticmethod
    def alive(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def test_a_job_of_the_other_table_may_carry_a_generation(self):
        self.node(kinds=KINDS).ready()
        job = self.db.value(
            "INSERT INTO rowcrew.job_queue (job_type, payload) VALUES ('generation', jsonb_build_object('provider', 'presets', "
            "'inputs', jsonb_build_object('source', %s, 'target', %s, 'preset', 'portrait_pro'))) RETURNING id",
            (str(self.photo()), str(self.out / "a.jpg")))
        wait_for("the job to complete",
                 lambda: self.db.value("SELECT status FROM rowcrew.job_queue WHERE id = %s", (job,)) == "completed")
        self.assertEqual(self.files(), ["a.jpg"])

    def test_a_stopping_node_ends_its_decoder_and_clears_away(self):
        flag = self.folder / "flag"
        node = self.node("leaver", kinds=KINDS, node={"stop_within": "1s"},
                         env={"ROWCREW_IMAGE_FAULT": "pause@image.before_rename", "ROWCREW_IMAGE_FAULT_FILE": str(flag)}).ready()
        job = self.generate(self.photo())
        wait_for("the decoder to come to its pause", flag.exists)
        node.signal(signal.SIGTERM)
        self.assertEqual(node.exited(), 0)
        self.assertEqual(self.files(), [])
        self.assertEqual((self.row(job)[0], self.row(job)[4]), ("pending", 0))


if __name__ == "__main__":
    unittest.main(verbosity=2)
