#!/usr/bin/python3
"""rowcrew-image on broken pictures, odd files and full disks: one word for each cause, nothing left behind."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest
import zipfile

sys.path.insert(0, __file__.rpartition("/")[0])
from pictures import (CROP, PORTRAIT, PROGRAM, ImageTest, encoded, photo, png_chunk, write_png)  # noqa: E402


class BrokenPictures(ImageTest):
    def test_a_picture_that_ends_early_is_truncated_wherever_it_ends(self):
        for kind, name, options in (("JPEG", "in.jpg", {}), ("JPEG", "in.jpg", {"progressive": True}),
                                    ("PNG", "in.png", {}), ("WEBP", "in.webp", {})):
            whole = encoded(photo(), kind, **options)
            for end in (30, 200, len(whole) // 2, len(whole) * 9 // 10, len(whole) - 40):
                with self.subTest(kind=kind, end=end, **options):
                    done = self.refused(self.source(whole[:end], name), "image_truncated", PORTRAIT)
                    self.assertTrue(done.line["error"]["message"].startswith(name + ": "))

    def test_damage_inside_is_corrupt_or_survived_but_never_a_crash(self):
        png = bytearray(encoded(photo(), "PNG"))
        png[len(png) // 2] ^= 0xFF
        self.refused(self.source(bytes(png), "in.png"), "image_corrupt")
        self.refused(self.source(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", b"\0" * 13) + png_chunk(b"IEND", b"")),
                     "image_corrupt")
        self.refused(self.source(encoded(photo(), "JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1)), "image_corrupt")
        webp = bytearray(encoded(photo(), "WEBP"))
        webp[20:24] = b"\xff\xff\xff\xff"
        self.refused(self.source(bytes(webp), "in.webp"), "image_corrupt")
        for kind in ("JPEG", "PNG", "WEBP"):
            whole = encoded(photo(), kind)
            for at in range(4, len(whole), len(whole) // 12):
                broken = bytearray(whole)
                broken[at] ^= 0x55
                done = self.run_image(self.source(bytes(broken)), PORTRAIT)
                self.assertIn(done.code, (0, 3), f"{kind} byte {at}: {done.line} {done.errors}")

    def test_40_000_by_40_000_is_refused_from_its_header(self):
        path = self.folder / "bomb.png"
        write_png(path, 40000, 40000, 1, 0, b"\0" * 5000)
        done = self.refused(path, "image_too_large")
        print(f"40,000 x 40,000: refused in {done.seconds * 1000:.0f} ms with {done.peak_mb:.0f} MB")
        self.assertLess(done.seconds, 2)
        self.assertLess(done.peak_mb, 60)
        self.assertIn("40000 x 40000", done.line["error"]["message"])
        self.refused(self.source(encoded(photo(600, 100), "PNG")), "image_too_large", limits={"max_side": 599})
        self.refused(self.source(encoded(photo(600, 100), "PNG")), "image_too_large", limits={"max_pixels": 59999})
        self.develop(encoded(photo(600, 100), "PNG"), limits={"max_pixels": 60000, "max_side": 600})

    def test_too_little_memory_is_said_in_words(self):
        # What is left after the libraries is too small for the picture. Their size is not ours, so look for it.
        path = self.folder / "large.png"
        write_png(path, 9000, 9000, 8, 2, bytes(range(250)) * 108)
        codes = set()
        for megabytes in range(240, 600, 40):
            done = self.run_image(path, [{"step": "sharpen"}], address_space=megabytes << 20)
            if done.code == 0:
                break
            if done.code == 3:
                codes.add(done.line["error"]["code"])
                self.assertEqual(self.parts(), [])
            else:  # a library gives up by itself, or the loader does
                self.assertTrue(done.code < 0 or "failed to map" in done.errors, f"{megabytes}: {done.code} {done.errors}")
        self.assertEqual(codes, {"decoder_memory"})


class OddFiles(ImageTest):
    def test_what_is_no_picture_is_named(self):
        archive = self.folder / "a.zip"
        with zipfile.ZipFile(archive, "w") as out:
            out.writestr("photo.jpg", b"x")
        for content, says in (
                (archive.read_bytes(), "ZIP"), (b"%PDF-1.7\n", "PDF"), (encoded(photo().convert("P"), "GIF"), "GIF"),
                (encoded(photo(), "TIFF"), "TIFF"), (encoded(photo(), "BMP"), "BMP"), (b"<svg xmlns='x'/>", "SVG"),
                (b"  <!DOCTYPE html><p>", "HTML"), (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"), (b"hello", "text"),
                (b"push graphic-context\nviewbox 0 0 640 480\n", "text"), (b"\x01\x02\x03", "nothing that is known"),
                (b"\xff\xd8", "nothing that is known")):
            with self.subTest(says):
                done = self.refused(self.source(content), "not_an_image")
                self.assertIn(says, done.line["error"]["message"])

    def test_links_pipes_folders_and_devices_are_refused_without_hanging(self):
        real = self.source(encoded(photo(), "JPEG"), "real.jpg")
        link = self.folder / "link.jpg"
        link.symlink_to(real)
        pipe = self.folder / "pipe.jpg"
        os.mkfifo(pipe)
        for path in (link, pipe, self.folder / "out"):
            self.refused(path, "file_unreadable", target=self.out / "x.jpg")
        self.refused("/dev/zero", "file_unreadable", target=self.out / "x.jpg")
        self.refused(self.folder / "none.jpg", "file_missing")
        self.refused(real / "below.jpg", "file_missing")
        self.refused(self.source(b""), "file_empty")
        done = self.refused(real, "file_too_large", limits={"max_bytes": 1000})
        self.assertIn("1 MiB", done.line["error"]["message"])

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_what_may_not_be_read_or_written_is_said(self):
        source = self.source(encoded(photo(), "JPEG"))
        request = {"source": str(source), "target": str(self.out / "in.jpg"), "part": str(self.out / ".in.jpg.1.part"),
                   "workflow": {"steps": [CROP]}}

        def as_nobody():
            done = subprocess.run([str(PROGRAM)], input=json.dumps(request).encode(), capture_output=True, user=65534,
                                  env={})
            return done.returncode, json.loads(done.stdout)["error"]["code"]

        try:
            subprocess.run([str(PROGRAM)], input=b"", capture_output=True, user=65534, env={})
        except PermissionError:
            self.skipTest("the program lies where nobody else may go")
        self.folder.chmod(0o755)
        source.chmod(0o600)
        self.assertEqual(as_nobody(), (3, "file_unreadable"))
        source.chmod(0o644)
        self.assertEqual(as_nobody(), (3, "output_unwritable"))
        self.assertEqual(self.parts(), [])

    def test_a_name_is_shown_without_its_path_and_without_control_characters(self):
        done = self.refused(self.source(b"x", "a\nb\x1b[31m.jpg"), "not_an_image", target=self.out / "x.jpg")
        message = done.line["error"]["message"]
        self.assertTrue(message.startswith("a?b?[31m.jpg: "), message)
        self.assertNotIn(str(self.folder), message)

    def test_decoders_for_other_formats_are_not_even_loaded(self):
        run = self.paused(self.source(encoded(photo(), "JPEG")), "image.decoding")
        maps = pathlib.Path(f"/proc/{run.process.pid}/maps").read_text()
        self.assertIn("libvips", maps)
        for library in ("Magick", "poppler", "openslide", "vips-modules"):
            self.assertNotIn(library, maps)
        self.assertEqual(self.resume(run).code, 0)


class Requests(ImageTest):
    def test_a_workflow_that_is_not_understood_is_refused_with_step_and_key(self):
        source = self.source(encoded(photo(), "JPEG"))
        for steps, says in (
                ([], "1 to 20"), ([{"step": "sharpen"}] * 21, "1 to 20"), (["crop"], "object"), ([{}], "step"),
                ([{"step": "explode"}], "explode"), ([{"step": "sharpen", "amount": 4}], "0 to 3"),
                ([{"step": "sharpen", "amount": "1"}], "amount"), ([{"step": "sharpen", "colour": 1}], "colour"),
                ([{"step": "sharpen"}, CROP], "step 2"), ([CROP, {"step": "fit", "width": 99, "height": 99}], "first"),
                ([{"step": "crop", "width": 160}], "height"), ([dict(CROP, width=15)], "16 to"),
                ([dict(CROP, width=160.5)], "whole"), ([dict(CROP, width=2**64 - 1)], "whole"),
                ([dict(CROP, gravity="north")], "attention"), ([CROP, {"step": "denoise", "strength": -0.1}], "0 to 1"),
                ([CROP, {"step": "pad", "width": 99, "height": 99, "background": [0, 0, 256]}], "255"),
                ([CROP, {"step": "pad", "width": 99, "height": 99, "background": "white"}], "255")):
            with self.subTest(says=says):
                done = self.refused(source, "preset_invalid", steps)
                self.assertIn(says, done.line["error"]["message"])
        for workflow in ([], {}, {"steps": {}}, {"steps": [CROP], "more": 1}):
            self.refused(source, "preset_invalid", override={"workflow": workflow})

    def test_a_request_that_is_not_understood_is_refused(self):
        source = self.source(encoded(photo(), "JPEG"))
        target = self.out / "in.jpg"
        for change in ({"source": "in.jpg"}, {"source": str(source) + "\0"}, {"target": str(self.out) + "/"},
                       {"part": str(self.out / "in.jpg")}, {"part": "/tmp/.in.jpg.1.part"}, {"part": None},
                       {"part": str(self.out / ".in.jpg.a.b.part")}, {"limits": {"max_pixels": 0}},
                       {"limits": {"max_pixel": 5}}, {"limits": []}, {"more": 1}):
            with self.subTest(change=change):
                self.refused(source, "bad_request", target=target, override=change)
        self.refused(source, "bad_request", target=source)
        for text in (b"", b"{", b"[]", b"null", b"{" * 2_000_000):
            done = subprocess.run([str(PROGRAM)], input=text, capture_output=True, check=False)
            self.assertEqual((done.returncode, json.loads(done.stdout)["error"]["code"]), (3, "bad_request"))


class Output(ImageTest):
    def test_a_folder_that_is_missing_or_a_target_that_is_one(self):
        source = self.source(encoded(photo(), "JPEG"))
        self.refused(source, "output_unwritable", target=self.folder / "nowhere" / "in.jpg")
        (self.out / "in.jpg").mkdir()
        self.refused(source, "output_unwritable")

    def test_a_full_disk_can_be_waited_for(self):
        source = self.source(encoded(photo(), "JPEG"))
        done = self.refused(source, "disk_full", exit_code=4, file_size=2000)
        self.assertIn("no room", done.line["error"]["message"])
        self.assertFalse((self.out / "in.jpg").exists())
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(self.out)], capture_output=True).returncode:
            return  # not permitted here
        try:
            self.refused(source, "disk_full", exit_code=4)
            self.assertEqual(list(self.out.iterdir()), [])
        finally:
            subprocess.run(["umount", str(self.out)], check=True)

    def test_an_earlier_result_is_replaced_whole_or_kept(self):
        source = self.source(encoded(photo(), "JPEG"))
        (self.out / "in.jpg").write_bytes(b"earlier")
        self.refused(source, "disk_full", exit_code=4, file_size=2000)
        self.assertEqual((self.out / "in.jpg").read_bytes(), b"earlier")
        self.assertEqual(self.run_image(source).code, 0)
        self.assertTrue((self.out / "in.jpg").read_bytes().startswith(b"\xff\xd8"))

    def test_parts_of_dead_runs_go_and_those_of_other_targets_stay(self):
        source = self.source(encoded(photo(), "JPEG"))
        mine = [".in.jpg.1.part", ".in.jpg.-77.part", ".in.jpg.abc.part"]
        others = [".in.jpg.b.5.part", ".in.jpg.part", ".in.jpeg.5.part", "in.jpg.5.part", ".in.jpg.5.partial"]
        for name in mine + others:
            (self.out / name).write_bytes(b"x")
        self.assertEqual(self.run_image(source).code, 0)
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), sorted(others + ["in.jpg"]))
        (self.out / ".in.jpg.9.part").write_bytes(b"x")
        request = json.dumps({"clean": True, "target": str(self.out / "in.jpg")})
        done = subprocess.run([str(PROGRAM)], input=request.encode(), capture_output=True, check=True)
        self.assertEqual(json.loads(done.stdout), {})
        self.assertFalse((self.out / ".in.jpg.9.part").exists())

    def test_whatever_ends_it_nothing_but_a_kill_leaves_a_part(self):
        source = self.source(encoded(photo(), "JPEG"))
        for number, left in ((signal.SIGTERM, 0), (signal.SIGXCPU, 0), (signal.SIGSEGV, 0), (signal.SIGKILL, 1)):
            run = self.paused(source, "image.before_rename", token=int(number))
            self.assertEqual(len(self.parts()), 1)
            run.process.send_signal(number)
            self.assertEqual(run.finish().code, -number)
            self.assertEqual(len(self.parts()), left)
            self.assertFalse((self.out / "in.jpg").exists())
        self.assertEqual(self.run_image(source).code, 0)
        self.assertEqual(self.parts(), [])

    def test_a_run_that_was_frozen_changes_nothing_once_another_took_over(self):
        source = self.source(encoded(photo(), "JPEG"))
        frozen = self.paused(source, "image.before_rename", token=1)
        self.assertEqual(self.run_image(source, [dict(CROP, gravity="centre")], token=2).code, 0)
        newer = (self.out / "in.jpg").read_bytes()
        done = self.resume(frozen)
        self.assertEqual((done.code, done.line["error"]["code"]), (4, "output_unwritable"))
        self.assertTrue((self.out / "in.jpg").read_bytes() == newer)
        self.assertEqual(self.parts(), [])

    def test_accidents_of_a_decoder_end_as_signals(self):
        source = self.source(encoded(photo(), "JPEG"))
        done = self.run_image(source, env={"ROWCREW_IMAGE_FAULT": "crash"})
        self.assertEqual(done.code, -signal.SIGSEGV)
        done = self.run_image(source, env={"ROWCREW_IMAGE_FAULT": "memory"}, address_space=400 << 20)
        self.assertEqual((done.code, done.line["error"]["code"]), (3, "decoder_memory"))
        self.assertEqual(self.parts(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
