"""An image file opened by what reads its format, without its pixels yet: Pillow, and others where they are installed.

What is damaged beside a sound picture (EXIF, text chunks, a missing end mark) loses nothing.
"""

import io
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache

import numpy as np
from PIL import Image

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
"""Pixels above which so many rows and columns of them, evenly spaced, are what a range is measured on."""
PLAIN = {"JPEG", "GIF", "WEBP", "AVIF", "HEIF", "ICO", "CUR", "PSD", "ICNS"}
"""Formats that have 8 bits of brightness, so that their values need no range."""
DEEP = "16-bit colours"
SAMPLES = 277
"""The tag of a TIFF's channels, of which Pillow keeps those that are colours."""


def opened(content: Encoded, channels: tuple[int, ...] | None = None) -> Image.Image | Unread:
    """A Pillow image whose pixels are not decoded yet, or values of a format that it does not read, unread too.

    These also where `channels` are to be shown that Pillow would drop.
    Raises `Refused` with the way out, or what Pillow raises of a damaged file.
    """
    image = _opened(content, channels)
    if decoded_bytes(image) > DECODED:
        raise Refused(f"its pixels are {decoded_bytes(image) / 2**30:.1f} GiB, too many to be decoded: make it smaller")
    if isinstance(image, Image.Image) and image.mode in ("RGB", "RGBA") and _is_deep(image):
        image.info[DEEP] = True  # parts of it say so too; Pillow forgets it with the first pixel
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
        if channels and len(image.getbands()) <= max(channels) < getattr(image, "tag_v2", {}).get(SAMPLES, 1):
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
    return image.width * image.height * {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}.get(image.mode, 4)


def kind(content: Encoded, channels: tuple[int, ...] | None = None) -> str | None:
    """Which kind of values an image has, by its head alone; None where they are plain 8 bits, or it is no image."""
    if content.trouble:
        return None
    if isinstance(content.content, np.ndarray):
        return values.kind(content.content)
    if content.content[:2] == b"\xff\xd8":
        return None
    if content.content[:4] == b"\x89PNG" and content.content[25:26] not in (b"\0", b"\4"):
        return DEEP if content.content[24] == 16 else None
    try:
        image = opened(content, channels)
        if isinstance(image, Unread):
            with MEMORY.of(image.size):
                return values.kind(image.load())
    except Exception:  # whatever a damaged file makes Pillow raise, it has no values
        return None
    return kind_of(image)


def kind_of(image: Image.Image) -> str | None:
    """Which kind of values an opened image has; None where they are plain 8 bits."""
    if DEEP in image.info:
        return DEEP
    if image.mode == "L" and image.format not in PLAIN:
        return "8-bit values"
    return {"I": "32-bit values", "F": "floating-point values"}.get(
        image.mode, "16-bit values" if image.mode.startswith("I;16") else None
    )


def sampled(content: Encoded, channels: tuple[int, ...] | None = None) -> np.ndarray:
    """Some of the values that a range is measured on. Raises what opening and decoding raise."""
    image = opened(content, channels)
    with MEMORY.of(decoded_bytes(image)):
        if isinstance(image, Unread):
            return values.sampled(image.load())
        image = loaded(image, content)
        if image.width * image.height > FEW:
            image = image.resize((SIDE, SIDE), Image.Resampling.NEAREST)  # an array would be all of it once more
        return values.sampled(array(image))


def array(image: Image.Image) -> np.ndarray:
    """The values of an image, [H, W(, channels)]: uint8, uint16, int32 or float32."""
    made = np.asarray(image)
    # Pillow keeps the higher byte of each of 16 bits of colours.
    return made[..., :3].astype(np.uint16) * 257 if kind_of(image) == DEEP else made


def _is_deep(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        return max(tags.get(258, (8,))) > 8
    tiles = getattr(image, "tile", [])
    return image.format == "PNG" and bool(tiles) and "16" in str(tiles[0][3])


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
