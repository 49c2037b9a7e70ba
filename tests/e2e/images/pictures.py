"""Makes pictures, good and bad, and runs rowcrew-image on them. PIL is the second opinion."""
import io
import json
import os
import pathlib
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

from PIL import Image, ImageCms, ImageDraw, ImageOps

PROGRAM = pathlib.Path(os.environ["ROWCREW_BIN"]) / "rowcrew-image"
CROP = {"step": "crop", "width": 160, "height": 200}
PORTRAIT = [{"step": "crop", "width": 1600, "height": 2000, "gravity": "attention"},
            {"step": "denoise", "strength": 0.5},
            {"step": "levels", "strength": 0.6},
            {"step": "local_contrast", "amount": 0.22, "radius": 40},
            {"step": "sharpen", "amount": 0.6}]
PRODUCT = [{"step": "fit", "width": 400, "height": 400}, {"step": "denoise", "strength": 0.4},
           {"step": "white_background", "level": 200}, {"step": "sharpen"},
           {"step": "pad", "width": 400, "height": 400}]
UNDO = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
        6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def photo(width=640, height=480, mode="RGB", seed=3):
    """Something between noise and a scene: blobs of colour on a gradient, with grain."""
    grain = Image.effect_noise((max(2, width // 4), max(2, height // 4)), 60).resize((width, height), Image.BICUBIC)
    base = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (base, grain, ImageOps.invert(base)))
    draw = ImageDraw.Draw(picture)
    for i in range(12):
        x, y = (i * 7919 * seed) % width, (i * 104729 * seed) % height
        draw.ellipse([x, y, x + width // 6, y + height // 6], fill=(40 + i * 16, 250 - i * 17, (i * 53) % 256))
    return picture.convert(mode)


def halves(width, height):
    """Red above blue: shows which way is up."""
    picture = Image.new("RGB", (width, height), (220, 30, 30))
    picture.paste((30, 30, 220), (0, height // 2, width, height))
    return picture


def private_exif(orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SecretCameraMaker"
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
    return exif.tobytes()


def with_segments(jpeg, *segments):
    """(marker, content) right after the start of a JPEG."""
    extra = b"".join(bytes([0xFF, m]) + struct.pack(">H", len(c) + 2) + c for m, c in segments)
    return jpeg[:2] + extra + jpeg[2:]


def encoded(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_png(path, width, height, depth, colour, row):
    """A PNG of `height` equal rows, streamed: any size in little memory."""
    squeeze = zlib.compressobj(1)
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        out.write(png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)))
        for _ in range(height):
            piece = squeeze.compress(b"\0" + row)
            if piece:
                out.write(png_chunk(b"IDAT", piece))
        out.write(png_chunk(b"IDAT", squeeze.flush()))
        out.write(png_chunk(b"IEND", b""))


class Run:
    """One run of the program: code, line (parsed), seconds, peak_mb."""

    def __init__(self, process):
        self.process = process
        self.began = time.monotonic()

    def finish(self):
        out = self.process.stdout.read()
        self.errors = self.process.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(self.process.pid, 0)
        self.seconds = time.monotonic() - self.began
        self.process.returncode = self.code = os.waitstatus_to_exitcode(status)
        self.process.stdout.close()
        self.process.stderr.close()
        self.peak_mb = usage.ru_maxrss / 1024
        self.line = json.loads(out) if out.strip() else {}
        if out.count(b"\n") > 1:
            raise AssertionError(f"more than one line: {out!r}")
        return self


class ImageTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rowcrew-images-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.out = self.folder / "out"
        self.out.mkdir()

    def source(self, content, name="in.jpg"):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def start(self, source, steps=(CROP,), target=None, token=1, env=None, limits=None, address_space=1 << 30,
              file_size=None, override=None):
        target = target or self.out / pathlib.Path(source).name
        whole = {"source": str(source), "target": str(target),
                 "part": str(target.parent / f".{target.name}.{token}.part"),
                 "workflow": {"steps": list(steps)}}
        if limits:
            whole["limits"] = limits
        whole.update(override or {})
        whole = {key: value for key, value in whole.items() if value is not None}

        def restrict():
            if address_space:
                resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
            if file_size:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

        process = subprocess.Popen([str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, preexec_fn=restrict,
                                   env={"MALLOC_ARENA_MAX": "2", "VIPS_CONCURRENCY": "1", **(env or {})})
        process.stdin.write(json.dumps(whole).encode())
        process.stdin.close()
        return Run(process)

    def run_image(self, source, steps=(CROP,), **more):
        return self.start(source, steps, **more).finish()

    def develop(self, content, name="in.jpg", steps=(CROP,), **more):
        """A run that must succeed: (its line, the picture as PIL sees it)."""
        done = self.run_image(self.source(content, name), steps, **more)
        self.assertEqual(done.code, 0, f"{done.line} {done.errors}")
        self.assertEqual(self.parts(), [])
        picture = Image.open(self.out / name)
        picture.load()
        self.assertEqual(picture.size, (done.line["width"], done.line["height"]))
        return done.line, picture

    def refused(self, source, code, steps=(CROP,), exit_code=3, **more):
        done = self.run_image(source, steps, **more)
        self.assertEqual((done.code, done.line.get("error", {}).get("code")), (exit_code, code),
                         f"{done.line} {done.errors}")
        self.assertEqual(self.parts(), [])
        return done

    def parts(self):
        return sorted(p.name for p in self.out.iterdir() if p.name.startswith("."))

    def paused(self, source, point, token=1, once=True):
        """A run that waits at this point; resume with SIGUSR1."""
        flag = self.folder / f"paused-{token}"
        run = self.start(source, token=token, env={"ROWCREW_IMAGE_FAULT": f"pause@{point}",
                                                   "ROWCREW_IMAGE_FAULT_FILE": str(flag)})
        end = time.monotonic() + 20
        while not flag.exists():
            if time.monotonic() > end:
                raise AssertionError(f"never came to {point}")
            time.sleep(0.005)
        return run

    def resume(self, run):
        run.process.send_signal(signal.SIGUSR1)
        return run.finish()
