#!/usr/bin/python3
"""Before and after, side by side: one PNG of all photos of an inbox that have a portrait.

Usage: samples/contact_sheet.py INBOX PORTRAITS OUT.png [PHOTO...]     (needs python3-pil)

A portrait belongs to the photo whose SHA-256 begins with the digits in its name. Colours are
converted to sRGB; transparency shows as a checkerboard. Photos named behind OUT.png choose and order.
"""
import hashlib
import io
import pathlib
import sys

from PIL import Image, ImageCms, ImageDraw, ImageOps

CELL, GAP, COLUMNS = 300, 12, 3


def in_srgb(picture):
    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture)
    if not profile:
        return upright.convert("RGBA")
    return ImageCms.profileToProfile(upright.convert("RGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                                     ImageCms.createProfile("sRGB")).convert("RGBA")


def checkerboard(size, square=8):
    board = Image.new("RGBA", size, "white")
    pen = ImageDraw.Draw(board)
    for y in range(0, size[1], square):
        for x in range((y // square % 2) * square, size[0], 2 * square):
            pen.rectangle((x, y, x + square - 1, y + square - 1), fill="#d0d0d0")
    return board


def tile(path):
    picture = in_srgb(Image.open(path))
    picture = ImageOps.contain(picture, (CELL, CELL), Image.LANCZOS)
    return Image.alpha_composite(checkerboard(picture.size), picture).convert("RGB")


def pairs(inbox, portraits, wanted):
    by_digits = {path.stem.rpartition("-")[2]: path for path in portraits.iterdir()}
    photos = [inbox / name for name in wanted] if wanted else sorted(p for p in inbox.iterdir() if p.is_file())
    for photo in photos:
        portrait = by_digits.get(hashlib.sha256(photo.read_bytes()).hexdigest()[:6])
        if portrait:
            yield photo, portrait


def main(inbox, portraits, out, *wanted):
    found = list(pairs(pathlib.Path(inbox), pathlib.Path(portraits), wanted))
    rows = -(-len(found) // COLUMNS)
    width, height = 2 * CELL + 3 * GAP, CELL + 2 * GAP + 14
    sheet = Image.new("RGB", (COLUMNS * width, rows * height), "#202020")
    pen = ImageDraw.Draw(sheet)
    for number, (photo, portrait) in enumerate(found):
        left, top = number % COLUMNS * width + GAP, number // COLUMNS * height + GAP
        for side, path in enumerate((photo, portrait)):
            picture = tile(path)
            sheet.paste(picture, (left + side * (CELL + GAP) + (CELL - picture.width) // 2, top + (CELL - picture.height) // 2))
        pen.text((left, top + CELL + 2), photo.name.encode("ascii", "replace").decode().replace("\n", " "), fill="#c0c0c0")
    sheet.save(out, optimize=True)
    print(f"{out}: {len(found)} pairs")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
