#!/usr/bin/python3
"""rowcrew-image on good pictures: shape, orientation, profile, privacy, formats, repeatability, memory."""
import hashlib
import random
import struct
import sys
import unittest

from PIL import Image, ImageChops, ImageStat

sys.path.insert(0, __file__.rpartition("/")[0])
from pictures import (CROP, PORTRAIT, PRODUCT, PROFILE, UNDO, ImageTest, encoded, halves, photo,  # noqa: E402
                      private_exif, with_segments, write_png)


def difference(a, b):
    return sum(ImageStat.Stat(ImageChops.difference(a.convert("RGB"), b.convert("RGB"))).mean)


class Shape(ImageTest):
    def test_a_crop_is_four_to_five_to_the_pixel_and_never_larger_than_its_source(self):
        random.seed(11)
        sizes = [(4, 5), (5, 5), (9, 11), (161, 200), (160, 201), (1000, 60), (60, 1000), (159, 199)]
        sizes += [(random.randint(8, 900), random.randint(8, 900)) for _ in range(40)]
        for width, height in sizes:
            with self.subTest(width=width, height=height):
                line, picture = self.develop(encoded(photo(width, height), "JPEG"))
                self.assertEqual(picture.width * 5, picture.height * 4)
                self.assertLessEqual(picture.width, min(width, 160))
                self.assertLessEqual(picture.height, min(height, 200))
                # No larger one of this shape would fit.
                self.assertTrue(picture.width + 4 > min(width, 160) or picture.height + 5 > min(height, 200))
                self.assertEqual((line["source_width"], line["source_height"]), (width, height))

    def test_every_gravity_and_every_format_gives_the_size_asked_for(self):
        for gravity in ("attention", "entropy", "centre"):
            for kind in ("JPEG", "PNG", "WEBP"):
                _, picture = self.develop(encoded(photo(), kind), steps=[dict(CROP, gravity=gravity)])
                self.assertEqual((picture.size, picture.format), ((160, 200), kind))

    def test_a_shape_without_small_terms_is_right_to_the_next_pixel(self):
        _, picture = self.develop(encoded(photo(500, 500), "JPEG"), steps=[{"step": "crop", "width": 1601, "height": 1999}])
        self.assertEqual(picture.size, (400, 500))

    def test_fit_keeps_the_whole_picture_and_pad_fills_up_to_the_shape(self):
        _, picture = self.develop(encoded(photo(800, 400), "JPEG"), steps=[{"step": "fit", "width": 300, "height": 300}])
        self.assertEqual(picture.size, (300, 150))
        _, picture = self.develop(encoded(photo(100, 50), "JPEG"), steps=[{"step": "fit", "width": 300, "height": 300}])
        self.assertEqual(picture.size, (100, 50))
        _, picture = self.develop(encoded(photo(800, 400), "PNG"), steps=PRODUCT)
        self.assertEqual(picture.size, (400, 400))
        self.assertEqual(picture.getpixel((200, 3)), (255, 255, 255))
        _, picture = self.develop(encoded(photo(90, 30, "L"), "PNG"), steps=PRODUCT)
        self.assertEqual((picture.size, picture.getpixel((4, 4))), ((90, 90), 255))

    def test_a_line_one_pixel_thin_is_shrunk_to_one_pixel(self):
        for size, wanted in (((3000, 1), (400, 1)), ((1, 3000), (1, 400)), ((9000, 3), (400, 1)), ((4000, 7), (400, 1))):
            with self.subTest(size=size):
                _, picture = self.develop(encoded(photo(*size), "JPEG"), steps=[{"step": "fit", "width": 400, "height": 400}])
                self.assertEqual(picture.size, wanted)

    def test_without_framing_the_size_stays(self):
        _, picture = self.develop(encoded(photo(333, 222), "JPEG"), steps=[{"step": "sharpen"}])
        self.assertEqual(picture.size, (333, 222))

    def test_every_orientation_comes_out_upright(self):
        for orientation in range(1, 9):
            upright = halves(400, 300)
            stored = upright.transpose(UNDO[orientation]) if orientation > 1 else upright
            for steps in ([CROP], [{"step": "fit", "width": 200, "height": 200}], [{"step": "sharpen"}]):
                with self.subTest(orientation=orientation, step=steps[0]["step"]):
                    line, picture = self.develop(encoded(stored, "JPEG", exif=private_exif(orientation)), steps=steps)
                    self.assertEqual((line["source_width"], line["source_height"]), (400, 300))
                    self.assertNotIn(0x0112, picture.getexif())
                    top = picture.getpixel((picture.width // 2, 5))
                    bottom = picture.getpixel((picture.width // 2, picture.height - 5))
                    self.assertGreater(top[0], top[2] + 100)
                    self.assertGreater(bottom[2], bottom[0] + 100)

    def test_a_large_jpeg_is_decoded_at_a_fraction_and_stays_in_shape(self):
        for width, height in ((2000, 1601), (1999, 1333), (1280, 1600), (3001, 2003)):
            _, picture = self.develop(encoded(photo(width, height), "JPEG"))
            self.assertEqual(picture.size, (160, 200))


class Privacy(ImageTest):
    def test_nothing_of_the_metadata_is_left_but_the_colour_profile(self):
        xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>SecretXmp</x:xmpmeta>"
        iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x10\x1c\x02\x50\0\x0bSecretIptc!"
        plain = encoded(photo(), "JPEG", exif=private_exif(1), icc_profile=PROFILE)
        jpeg = with_segments(plain, (0xE1, xmp), (0xED, iptc), (0xFE, b"SecretComment"))
        sources = {"in.jpg": jpeg,
                   "in.png": encoded(photo(), "PNG", exif=private_exif(1), icc_profile=PROFILE),
                   "in.webp": encoded(photo(), "WEBP", exif=private_exif(1), xmp=xmp, icc_profile=PROFILE)}
        for name, content in sources.items():
            with self.subTest(name):
                self.assertTrue(b"Secret" in content)
                line, picture = self.develop(content, name)
                result = (self.out / name).read_bytes()
                for trace in (b"Secret", b"Exif\0\0", b"xmpmeta", b"8BIM", b"EXIF", b"eXIf"):
                    self.assertFalse(trace in result, trace)
                self.assertEqual(len(picture.getexif()), 0)
                self.assertTrue(picture.info.get("icc_profile") == PROFILE)
                self.assertTrue(line["icc"])

    def test_a_picture_without_a_profile_gets_none(self):
        for kind in ("JPEG", "PNG", "WEBP"):
            line, picture = self.develop(encoded(photo(), kind))
            self.assertNotIn("icc_profile", picture.info)
            self.assertFalse(line["icc"])

    def test_pixels_are_not_converted_out_of_their_profile(self):
        steps = [{"step": "fit", "width": 640, "height": 640}]
        picture = photo()
        _, with_profile = self.develop(encoded(picture, "PNG", icc_profile=PROFILE), "a.png", steps)
        self.assertEqual(difference(with_profile, picture), 0)


class Formats(ImageTest):
    def test_the_name_of_a_file_does_not_matter(self):
        _, picture = self.develop(encoded(photo(), "PNG"), "photo.jpg")
        self.assertEqual(picture.format, "PNG")

    def test_transparency_is_kept(self):
        picture = photo(640, 480, "RGBA")
        picture.paste((0, 0, 0, 0), (0, 0, 640, 240))
        for kind, name in (("PNG", "in.png"), ("WEBP", "in.webp")):
            for steps in ([CROP], [dict(CROP)] + PORTRAIT[1:], PRODUCT):
                _, out = self.develop(encoded(picture, kind), name, steps)
                self.assertEqual(out.mode, "RGBA")
                alpha = out.getchannel("A")
                self.assertLess(alpha.getpixel((out.width // 2, 4)), 8)
                self.assertGreater(alpha.getextrema()[1], 250)

    def test_grey_stays_grey_and_palettes_and_depths_become_8_bits(self):
        _, grey = self.develop(encoded(photo(640, 480, "L"), "JPEG"), steps=[CROP] + PORTRAIT[1:] + [{"step": "saturation"}])
        self.assertEqual(grey.mode, "L")
        _, grey_alpha = self.develop(encoded(photo(640, 480, "LA"), "PNG"), steps=[CROP] + PORTRAIT[1:])
        self.assertEqual(grey_alpha.mode, "LA")
        _, palette = self.develop(encoded(photo(640, 480, "P"), "PNG"))
        self.assertEqual(palette.mode, "RGB")
        _, bits = self.develop(encoded(photo(640, 480, "1"), "PNG"))
        self.assertEqual(bits.mode, "L")

    def test_16_bits_a_channel_become_8_of_the_same_tone(self):
        path = self.folder / "deep.png"
        write_png(path, 400, 300, 16, 2, struct.pack(">HHH", 0x8000, 0x4000, 0xC000) * 400)
        _, picture = self.develop(path.read_bytes(), "deep.png", [CROP] + PORTRAIT[1:2])
        self.assertEqual((picture.mode, picture.getpixel((80, 100))), ("RGB", (0x80, 0x40, 0xC0)))
        write_png(path, 400, 300, 16, 0, struct.pack(">H", 0x8000) * 400)
        _, picture = self.develop(path.read_bytes(), "deep.png", [CROP])
        self.assertEqual((picture.mode, picture.getpixel((80, 100))), ("L", 0x80))

    def test_cmyk_becomes_srgb_that_every_viewer_shows(self):
        # Cyan ink alone: whatever the press, no red to speak of.
        line, picture = self.develop(encoded(Image.new("CMYK", (400, 400), (255, 0, 0, 0)), "JPEG"))
        self.assertEqual(picture.mode, "RGB")
        red, green, blue = picture.getpixel((80, 100))
        self.assertLess(red, 80)
        self.assertGreater(blue, 150)
        self.assertTrue(line["icc"])
        self.assertTrue(b"RGB " in picture.info["icc_profile"][:40])

    def test_progressive_and_animated_sources(self):
        self.develop(encoded(photo(), "JPEG", progressive=True))
        moving = encoded(photo(), "WEBP", save_all=True, append_images=[photo(seed=9)], duration=100)
        _, picture = self.develop(moving, "in.webp")
        self.assertEqual((picture.size, getattr(picture, "n_frames", 1)), ((160, 200), 1))


class Develop(ImageTest):
    def test_the_same_input_gives_the_same_bytes_and_the_hash_is_theirs(self):
        for kind in ("JPEG", "PNG", "WEBP"):
            content = encoded(photo(900, 1200), kind, icc_profile=PROFILE)
            first, _ = self.develop(content, "in", PORTRAIT)
            bytes_of_first = (self.out / "in").read_bytes()
            second, _ = self.develop(content, "in", PORTRAIT)
            self.assertEqual(first, second)
            self.assertTrue(bytes_of_first == (self.out / "in").read_bytes())
            self.assertEqual(first["sha256"], hashlib.sha256(bytes_of_first).hexdigest())
            self.assertEqual(first["bytes"], len(bytes_of_first))
            self.assertFalse(bytes_of_first == content)

    def test_every_step_changes_the_picture_and_none_changes_it_beyond_recognition(self):
        content = encoded(photo(300, 375), "PNG")
        _, plain = self.develop(content, "in.png", [CROP])
        for step in ({"step": "denoise", "strength": 1}, {"step": "local_contrast", "amount": 0.5, "radius": 20},
                     {"step": "saturation", "amount": 0.5}, {"step": "saturation", "amount": -1},
                     {"step": "levels", "black_percent": 5, "white_percent": 5}, {"step": "sharpen", "amount": 1}):
            with self.subTest(step=step):
                _, changed = self.develop(content, "in.png", [CROP, step])
                self.assertGreater(difference(plain, changed), 0.3)
                self.assertLess(difference(plain, changed), 120)

    def test_noise_goes_and_edges_stay(self):
        flat = Image.effect_noise((300, 300), 6)
        flat.paste(250, (150, 0, 300, 300))
        _, out = self.develop(encoded(flat, "PNG"), "in.png", [{"step": "denoise", "strength": 1}])
        before = ImageStat.Stat(flat.crop((10, 10, 140, 290))).stddev[0]
        after = ImageStat.Stat(out.crop((10, 10, 140, 290))).stddev[0]
        self.assertLess(after, before * 0.75)
        self.assertGreater(out.getpixel((152, 150)) - out.getpixel((147, 150)), 90)

    def test_a_bright_border_becomes_white_and_a_coloured_one_stays(self):
        for ground, expected in (((228, 226, 220), (255, 255, 255)), ((240, 240, 120), (240, 240, 120)),
                                 ((90, 90, 90), (90, 90, 90))):
            product = Image.new("RGB", (300, 300), ground)
            product.paste((120, 40, 40), (100, 100, 200, 200))
            _, out = self.develop(encoded(product, "PNG"), "in.png", [{"step": "white_background", "level": 200}])
            self.assertEqual(out.getpixel((5, 150)), expected)

    def test_tiny_pictures_pass_every_preset(self):
        for size in ((1, 1), (2, 3), (7, 5), (1, 200), (200, 1)):
            for steps in (PORTRAIT, PRODUCT, [{"step": "fit", "width": 2400, "height": 2400}, {"step": "levels"},
                                              {"step": "local_contrast", "radius": 60}, {"step": "saturation"}]):
                with self.subTest(size=size, steps=len(steps)):
                    self.develop(encoded(photo(*size), "PNG"), "in.png", steps)

    def test_a_12_megapixel_jpeg_stays_below_300_megabytes(self):
        for options in ({"quality": 92}, {"quality": 92, "progressive": True}, {"quality": 92, "exif": private_exif(6)}):
            source = self.source(encoded(photo(4000, 3000), "JPEG", **options))
            done = self.run_image(source, PORTRAIT)
            self.assertEqual(done.code, 0, done.line)
            self.assertEqual((done.line["width"], done.line["height"]), (1600, 2000))
            print(f"12 MP {sorted(options)}: {done.peak_mb:.0f} MB resident, {done.seconds:.2f} s")
            self.assertLess(done.peak_mb, 300)


if __name__ == "__main__":
    unittest.main(verbosity=2)
