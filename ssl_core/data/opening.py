"""An image file opened by what reads its format, without its pixels yet: Pillow, and others where they are installed.

What is damaged beside a sound picture (EXIF, text chunks, a missing end mark) loses nothing.
"""

import io
import struct
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from ssl_core.data import dicom, kinds, tiff, values
from ssl_core.data.memory import MEMORY
from ssl_core.data.source import Encoded, SourceConfig
from ssl_core.data.values import Unread
from ssl_core.errors import Refused

Image.init()  # all formats, as a format that is named is not looked for
Image.MAX_IMAGE_PIXELS = 400_000_000
warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged metadata, once a file

DECODED = 1_700_000_000
"""Bytes that an image may have decoded: 400 megapixels of colours."""
FEW, SIDE = 2**22, 64
"""Values above which so many rows and columns of them, evenly spaced, are what a range is measured on."""
PLAIN = {"JPEG", "GIF", "WEBP", "AVIF", "HEIF", "ICO", "CUR", "PSD", "ICNS"}
"""Formats that have 8 bits of brightness, so that their values need no range."""
OTHER_ORDER = {";16L": ";16B", ";16B": ";16L", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}
"""How Pillow's raw modes of 16 bits end, and how where the two bytes are the other way round."""


def opened(content: Encoded, channels: tuple[int, ...] | None = None) -> Image.Image | Unread:
    """A Pillow image whose pixels are not decoded yet, or values that it does not read, or not right, unread too.

    These also where `channels` are to be shown that Pillow would drop.
    Raises `Refused` with the way out, or what Pillow raises of a damaged file.
    """
    image = _opened(content, channels)
    if decoded_bytes(image) > DECODED:
        raise Refused(f"its pixels are {decoded_bytes(image) / 2**30:.1f} GiB, too many to be decoded: make it smaller")
    return image


def _opened(content: Encoded, channels: tuple[int, ...] | None) -> Image.Image | Unread:
    if content.trouble:
        raise Refused(content.trouble)
    if isinstance(content.content, np.ndarray):
        values = content.content
        return Unread(lambda: values, 0)  # no more than there are
    name = kinds.formats(content.name, content.content)
    if name == "DICOM":
        return dicom.opened(content.content)
    if name == "HEIF":
        _read_heif()
    try:
        image = Image.open(io.BytesIO(content.content), formats=(name,))
    except (ValueError, SyntaxError, OSError):
        if name == "TIFF":
            return tiff.opened(content.content)
        if name != "PNG":
            raise
        image = Image.open(io.BytesIO(_critical_chunks(content.content)), formats=("PNG",))
    if name == "TIFF":
        tiff.refuse_thumbnail(image)
        if tiff.misread(image, channels):
            return tiff.opened(content.content)
    return image


def loaded(image: Image.Image, content: Encoded) -> Image.Image:
    """An opened image with its pixels. Raises what Pillow raises of a damaged one."""
    try:
        image.load()
    except ValueError:  # large or damaged texts behind the pixels of a PNG
        assert isinstance(content.content, bytes)
        if image.format != "PNG":
            raise
        again = opened(replace(content, content=_critical_chunks(content.content)))
        assert isinstance(again, Image.Image)
        again.load()
        return again
    return image


def decoded_bytes(image: Image.Image | Unread) -> int:
    """The memory that an image's pixels take once decoded."""
    if isinstance(image, Unread):
        return image.size
    each = 16 if is_deep(image) else {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}.get(image.mode, 4)
    return image.width * image.height * each


def kind(content: Encoded, channels: tuple[int, ...] | None = None) -> str | None:
    """Which kind of values an image has, by its head alone; None where they are plain 8 bits, or it is no image."""
    if content.trouble:
        return None
    if isinstance(content.content, np.ndarray):
        return values.kind(content.content)
    if content.content[:2] == b"\xff\xd8":
        return None
    if content.content[:4] == b"\x89PNG" and content.content[25:26] != b"\0":
        return "16-bit values" if content.content[24:25] == b"\x10" else None
    try:
        image = opened(content, channels)
        if isinstance(image, Unread):
            with MEMORY.of(image.size):
                return values.kind(image.load())
    except Exception:  # whatever a damaged file makes Pillow raise, it has no values
        return None
    return kind_of(image)


def kind_of(image: Image.Image) -> str | None:
    """Which kind of values an opened image has, before it is loaded; None where they are plain 8 bits."""
    if is_deep(image):
        return "16-bit values"
    if image.mode == "L" and image.format not in PLAIN:
        return "8-bit values"
    return {"I": "32-bit values", "F": "floating-point values"}.get(
        image.mode, "16-bit values" if image.mode.startswith("I;16") else None
    )


def sampled(content: Encoded, channels: tuple[int, ...] | None = None) -> np.ndarray:
    """Some of the values that are shown, which a range is measured on. Raises what opening and decoding raise."""
    image = opened(content, channels)
    with MEMORY.of(decoded_bytes(image)):
        if isinstance(image, Unread):
            found = image.load()
        elif is_deep(image):
            found = colours(image, content)
        else:
            image = loaded(image, content)
            if image.width * image.height > FEW:
                image = image.resize((SIDE, SIDE), Image.Resampling.NEAREST)  # an array would be all of it once more
            found = np.asarray(image)
        rows, columns = (max(1, side // SIDE) if found.size > FEW else 1 for side in found.shape[:2])
        return values.sampled(values.picked(found[::rows, ::columns], channels))


def is_deep(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet has colours of 16 bits, or grey and transparency of a PNG."""
    tiles = getattr(image, "tile", [])
    return image.mode in ("RGB", "RGBA") and bool(tiles) and _raw_mode(tiles[0][3])[-4:] in OTHER_ORDER


def colours(image: Image.Image, content: Encoded) -> np.ndarray:
    """All 16 bits of an image that `is_deep`, uint16 [H, W, channels], grey and transparency as two.

    Pillow keeps the higher byte of each value: so the file is read twice, with the order of its bytes turned once.
    """
    assert isinstance(content.content, bytes)
    file = _critical_chunks(content.content) if image.format == "PNG" else content.content
    again = Image.open(io.BytesIO(file), formats=(image.format or "",))
    assert isinstance(again, ImageFile.ImageFile)
    if _raw_mode(again.tile[0].args) == "LA;16B":
        again.tile = [tile._replace(args="RGBA") for tile in again.tile]  # as four bytes
        return np.asarray(again).view(">u2").astype(np.uint16)
    again.tile = [tile._replace(args=_turned(tile.args)) for tile in again.tile]
    made = np.asarray(loaded(image, content)).astype(np.uint16)
    made <<= 8
    made |= np.asarray(again)
    return made


def _raw_mode(args: Any) -> str:
    """How the bytes of a file lie, of what Pillow gives a decoder: `RGB;16B`."""
    return str(args if isinstance(args, str) else args[0] if args else "")


def _turned(args: Any) -> Any:
    mode = _raw_mode(args)
    turned = mode[:-4] + OTHER_ORDER[mode[-4:]]
    return turned if isinstance(args, str) else (turned, *args[1:])


@cache
def _read_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        raise Refused(
            "HEIC (a phone's photograph): `pip install pillow-heif` reads it; or convert it to JPEG"
        ) from None
    pillow_heif.register_heif_opener()


def _critical_chunks(png: bytes) -> bytes:
    """The PNG without what is beside its pixels: texts, profiles, EXIF, of which a large or damaged one ends Pillow."""
    kept, place = [png[:8]], 8
    while place + 12 <= len(png):
        (size,) = struct.unpack_from(">I", png, place)
        if png[place + 4 : place + 8] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(png[place : place + 12 + size])
        place += 12 + size
    return b"".join(kept)


def ranged(
    examples: Iterator[tuple[str, Encoded]],
    config: SourceConfig,
    again: Callable[[], Iterable[tuple[str, Callable[[], Encoded | None]]]],
) -> Iterator[tuple[str, Encoded]]:
    """The images with the range of their kind of values, where they need one and it is to be measured.

    `again` goes over the set once more, a path and what loads its image.
    """
    shown = config.channels
    ranges = values.Ranges(again, lambda content: kind(content, shown), lambda content: sampled(content, shown))
    for name, content in examples:
        found = ranges.of(content) if config.range == "auto" else None
        yield name, replace(content, range=found) if found else content
