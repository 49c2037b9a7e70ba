#!/usr/bin/python3
"""Derives the special samples from the photographs beside it, byte for byte the same on every run.

Usage: samples/make.py     (needs python3-pil; run by hand, its outputs are committed)
"""
import io
import pathlib
import struct
import zipfile
import zlib

from PIL import Image, ImageDraw

HERE = pathlib.Path(__file__).resolve().parent


def fixed(number):
    return struct.pack(">i", round(number * 65536))


def display_p3():
    """A minimal ICC 2 profile: the primaries of Display P3 adapted to D50, gamma 2.2."""
    def xyz(x, y, z):
        return b"XYZ \0\0\0\0" + fixed(x) + fixed(y) + fixed(z)

    def text(words):
        raw = words.encode() + b"\0"
        return b"desc\0\0\0\0" + struct.pack(">I", len(raw)) + raw + bytes(78)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256))
    tags = [
        (b"desc", text("Display P3 (gamma 2.2)")),
        (b"cprt", b"text\0\0\0\0public domain\0"),
        (b"wtpt", xyz(0.9642, 1.0, 0.8249)),
        (b"rXYZ", xyz(0.51512, 0.24120, -0.00105)),
        (b"gXYZ", xyz(0.29198, 0.69225, 0.04189)),
        (b"bXYZ", xyz(0.15710, 0.06657, 0.78407)),
        (b"rTRC", curve), (b"gTRC", curve), (b"bTRC", curve),
    ]
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags:
        table += name + struct.pack(">II", at + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4sI4s4s4s6H4s4sIIIQ", 128 + len(body), b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ",
                       2024, 1, 1, 0, 0, 0, b"acsp", b"\0\0\0\0", 0, 0, 0, 0)
    head += struct.pack(">I", 0) + fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return head.ljust(128, b"\0") + body


def phone():
    """Held upright, stored sideways, and it tells where it was taken."""
    upright = Image.open(HERE / "dogs.jpg").convert("RGB").crop((300, 500, 1736, 2415)).resize((1080, 1440), Image.LANCZOS)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Sample", "Phone"
    exif[0x0112] = 6  # turn it clockwise to see it upright
    exif[0x8825] = {1: "N", 2: (43.0, 15.0, 25.9), 3: "W", 4: (2.0, 55.0, 24.2)}
    upright.transpose(Image.ROTATE_90).save(HERE / "phone.jpg", quality=88, exif=exif)


def wide_gamut():
    """The same numbers with wider primaries: its reds lie outside sRGB."""
    Image.open(HERE / "coffee.png").convert("RGB").save(HERE / "coffee-p3.jpg", quality=92, icc_profile=display_p3())


def transparent():
    """Around the saucer is nothing; the colours below are kept."""
    picture = Image.open(HERE / "coffee.png").convert("RGB")
    mask = Image.new("L", (picture.width * 4, picture.height * 4), 0)
    ImageDraw.Draw(mask).ellipse((240, 60, 2160, 1560), fill=255)
    picture.putalpha(mask.resize(picture.size, Image.LANCZOS))
    picture.save(HERE / "coffee.png", optimize=True)


def truncated():
    whole = (HERE / "dogs.jpg").read_bytes()
    (HERE / "truncated.jpg").write_bytes(whole[:len(whole) // 3])


def no_picture():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("holiday/readme.txt"), "The pictures are in another archive.\n")
    (HERE / "archive.jpg").write_bytes(buffer.getvalue())
    (HERE / "empty.jpg").write_bytes(b"")


def huge(side=40_000):
    """1.6 gigapixels in some 200 kB: black, one bit each."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    (HERE / "huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)) +
        chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def main():
    phone()
    wide_gamut()
    transparent()
    Image.open(HERE / "astronaut.png").convert("RGB").save(HERE / "astronaut.webp", quality=90, method=6)
    truncated()
    no_picture()
    huge()


if __name__ == "__main__":
    main()
