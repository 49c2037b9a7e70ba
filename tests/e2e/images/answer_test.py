#!/usr/bin/python3
"""rowcrew-image on what providers are shown and what they answer: preparation, pictures inside of JSON, skimming."""
import base64
import io
import json
import random
import sys
import unittest

from PIL import Image, ImageChops

sys.path.insert(0, __file__.rpartition("/")[0])
from pictures import CROP, PROFILE, UNDO, ImageTest, encoded, halves, photo, private_exif  # noqa: E402


def as_json(pictures, **more):
    return json.dumps({"data": [{"b64_json": base64.b64encode(p).decode()} for p in pictures], **more}).encode()


class Prepare(ImageTest):
    def prepare(self, content, max_side=512, kind="jpeg", text=False, name="in.jpg"):
        part = self.out / f".{name}.1-source.part"
        done = self.run_image(self.source(content, name), override={
            "prepare": {"format": kind, "max_side": max_side, "base64": text}, "part": str(part), "workflow": None})
        self.assertEqual(done.code, 0, f"{done.line} {done.errors}")
        self.assertEqual(self.parts(), [part.name])
        content = part.read_bytes()
        self.assertEqual(done.line["bytes"], len(content))
        picture = Image.open(io.BytesIO(base64.b64decode(content, validate=True) if text else content))
        picture.load()
        self.assertEqual((done.line["width"], done.line["height"]), picture.size)
        return picture

    def test_a_picture_is_shown_small_upright_and_without_what_is_private(self):
        picture = self.prepare(encoded(halves(800, 600).transpose(UNDO[6]), "JPEG", exif=private_exif(6), icc_profile=PROFILE))
        self.assertEqual((picture.size, picture.format), ((512, 384), "JPEG"))
        self.assertEqual(dict(picture.getexif()), {})
        self.assertEqual(picture.info["icc_profile"], PROFILE)

    def test_a_small_one_is_not_enlarged_and_formats_are_as_asked_for(self):
        self.assertEqual(self.prepare(encoded(photo(90, 60), "WEBP"), kind="png").size, (90, 60))
        self.assertEqual(self.prepare(encoded(photo(90, 60), "PNG"), kind="jpeg").format, "JPEG")

    def test_as_text_it_is_base64_without_line_ends(self):
        for width in (64, 65, 66, 67):
            self.assertEqual(self.prepare(encoded(photo(width, 64), "JPEG"), text=True).size, (width, 64))

    def test_transparency_becomes_white_where_there_is_none(self):
        clear = Image.new("RGBA", (80, 80), (255, 0, 0, 0))
        self.assertEqual(self.prepare(encoded(clear, "PNG"), kind="jpeg").getpixel((40, 40)), (255, 255, 255))

    def test_what_is_no_picture_is_refused_and_leaves_nothing(self):
        done = self.run_image(self.source(b"<html>" * 20), override={
            "prepare": {"format": "jpeg", "max_side": 512}, "workflow": None})
        self.assertEqual((done.code, done.line["error"]["code"]), (3, "not_an_image"))
        self.assertEqual(self.parts(), [])

    def test_an_order_out_of_range_is_refused(self):
        for how in ({"format": "gif", "max_side": 512}, {"format": "jpeg", "max_side": 8}, {"format": "jpeg"}, [],
                    {"format": "jpeg", "max_side": 512, "more": 1}):
            done = self.run_image(self.source(encoded(photo(), "JPEG")), override={"prepare": how, "workflow": None})
            self.assertEqual((done.code, done.line["error"]["code"]), (3, "bad_request"), how)


class Answer(ImageTest):
    def take(self, answer, pointer="/data/0/b64_json", name="in.jpg", steps=None, **more):
        part = self.out / f".{name}.1-answer.part"
        part.write_bytes(answer)
        more = {"source": str(part), "pointer": pointer, "consume": True,
                "workflow": {"steps": steps} if steps else None, **more}
        return self.run_image(part, target=self.out / name, override=more)

    def refused(self, answer, **more):
        done = self.take(answer, **more)
        self.assertEqual(done.code, 3, done.line)
        self.assertFalse((self.out / "in.jpg").exists())
        return done.line["error"]["code"]

    def test_the_picture_is_the_same_to_the_pixel_and_the_answer_is_gone(self):
        sent = photo(300, 200)
        for which, kind in enumerate(("PNG", "PNG")):
            done = self.take(as_json([b"none", encoded(sent, kind)]), pointer="/data/1/b64_json", name=f"{which}.png")
            self.assertEqual(done.code, 0, f"{done.line} {done.errors}")
            self.assertEqual(self.parts(), [])
            with Image.open(self.out / f"{which}.png") as picture:
                self.assertEqual(picture.format, kind)
                self.assertIsNone(ImageChops.difference(picture.convert("RGB"), sent.convert("RGB")).getbbox())

    def test_it_comes_in_the_format_of_the_order_and_developed_by_steps(self):
        done = self.take(as_json([encoded(photo(500, 500), "PNG")]), steps=[CROP], format="jpeg")
        self.assertEqual((done.code, done.line["format"], done.line["width"]), (0, "jpeg", 160))
        with Image.open(self.out / "in.jpg") as picture:
            self.assertEqual((picture.format, picture.size), ("JPEG", (160, 200)))

    def test_what_a_stranger_wrote_into_it_does_not_come_along(self):
        hidden = Image.new("RGB", (64, 64))
        from PIL.PngImagePlugin import PngInfo
        info = PngInfo()
        info.add_text("workflow", "the graph and its secrets")
        done = self.take(as_json([encoded(hidden, "PNG", pnginfo=info)]), name="a.png")
        self.assertEqual(done.code, 0)
        self.assertNotIn(b"secrets", (self.out / "a.png").read_bytes())

    def test_an_answer_without_a_picture_is_told_from_a_damaged_picture(self):
        good = encoded(photo(), "PNG")
        self.assertEqual(self.refused(b"<html>502"), "provider_answer")
        self.assertEqual(self.refused(b"[1]"), "provider_answer")
        self.assertEqual(self.refused(b'{"data":[]}'), "provider_answer")
        self.assertEqual(self.refused(as_json([good]), pointer="no pointer"), "provider_answer")
        self.assertEqual(self.refused(b'{"data":[{"b64_json":"!!!!"}]}'), "provider_answer")
        self.assertEqual(self.refused(b'{"data":[{"b64_json":"QQ"}]}'), "provider_answer")
        self.assertEqual(self.refused(b'{"data":[{"b64_json":7}]}'), "provider_answer")
        self.assertEqual(self.refused(b'{"data":[{"b64_json":"QUFBQQ=="}]}'), "not_an_image")
        self.assertEqual(self.refused(as_json([good[:len(good) // 2]])), "image_truncated")
        self.assertEqual(self.refused(as_json([b"GIF89a" + bytes(80)])), "not_an_image")
        self.assertEqual(self.refused(as_json([encoded(photo(300, 300), "PNG")]), limits={"max_pixels": 1000}), "image_too_large")

    def test_an_answer_of_another_run_is_removed_and_of_this_one_kept(self):
        for name in (".in.jpg.2-answer.part", ".in.jpg.12-answer.part", ".in.jpg.1-more.part"):
            (self.out / name).write_bytes(b"x")
        done = self.take(as_json([encoded(photo(), "PNG")]))
        self.assertEqual(done.code, 0, done.line)
        self.assertEqual(self.parts(), [".in.jpg.1-more.part"])


class Skim(ImageTest):
    def skim(self, content, **more):
        source = self.source(content, "answer.part")
        return self.run_image(source, override={"skim": True, "target": None, "part": None, "workflow": None, **more})

    def test_an_answer_is_shown_without_its_pictures(self):
        random.seed(3)
        picture = random.randbytes(3_000_000)
        done = self.skim(as_json([picture], usage={"total_tokens": 7}, note="x" * 1000))
        self.assertEqual(done.code, 0)
        self.assertEqual(done.line["answer"], {"data": [{"b64_json": {"$bytes": 4_000_000}}], "usage": {"total_tokens": 7},
                                               "note": "x" * 1000})

    def test_what_is_no_answer_is_refused(self):
        for content in (b"", b"<html>", b"[]", b'{"a":', b"\xff\xfe", b'{"a":' * 5000 + b"1" + b"}" * 5000,
                        b"[" * 100_000):
            done = self.skim(content)
            self.assertEqual((done.code, done.line["error"]["code"]), (3, "provider_answer"), content[:20])

    def test_one_that_is_too_long_is_not_read(self):
        done = self.skim(as_json([bytes(3_000_000)]), limits={"max_bytes": 1_000_000})
        self.assertEqual(done.line["error"]["code"], "provider_answer")


if __name__ == "__main__":
    unittest.main(verbosity=2)
