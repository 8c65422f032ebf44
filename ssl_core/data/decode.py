"""From an image file, or drawn pixels, to uint8 [size, size, 3]."""

import io
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ssl_core.data import tiff, values
from ssl_core.data.memory import MEMORY
from ssl_core.data.opening import colours, decoded_bytes, is_deep, kind_of, loaded, opened
from ssl_core.data.source import Content, Encoded, SourceConfig
from ssl_core.data.values import Unread
from ssl_core.errors import Refused

LARGE = 16_000_000
"""Pixels from which on an image is made smaller strip by strip, before anything is done with it."""
MARGIN = 3
"""How much larger than wanted an image is at least when a decoder or a mean of pixels makes it smaller first."""
FLAT, DARK = 6, 40
"""Levels of 256 between which, and below which, all of a picture lies that shows next to nothing."""
CUT = "more than half of it is cut away"
NEARLY_CONSTANT = "nearly black or of one colour"
SEVERAL = "the first of several pages or frames is taken"
FOURTH = "its tags call the fourth channel transparency, which is laid on white: if it is none, save ExtraSamples as 0"
CROWD = 13
"""Levels of 256, a twentieth, between which nine tenths of a picture lie that a range too wide has made flat."""
CROWDED = "nine tenths of the pixels lie in a twentieth of the range that is shown"
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, of each orientation that EXIF knows."""


class Picture(NamedTuple):
    """A decoded image: uint8 [size, size, 3], its original (width, height), whether it is grey, what is to be noted."""

    pixels: np.ndarray
    original: tuple[int, int]
    grey: bool
    notes: tuple[str, ...] = ()


def decode(content: Content, size: int, config: SourceConfig) -> Picture:
    """The image as a square of `size` pixels, upright, by the `range`, `fit` and `channels` of the configuration.

    Transparency is laid on white, of 16 bits that of a PNG alone; grey becomes three equal channels; colour profiles
    are not applied. It is resized bicubic and antialiased, a JPEG after its decoder took a half, quarter or eighth that
    is 3 times too large at least (measured at 32 and 64 pixels: 0.3 levels of 256 from the whole on average). Raises
    `Refused` of what is no image or not read here, with the way out; `OSError`, `ValueError`, `SyntaxError` where it is
    damaged.
    """
    if isinstance(content, np.ndarray) and content.dtype == np.uint8 and content.shape == (size, size):
        # Nothing to decode or resize, without Pillow in a quarter of the time.
        return Picture(content[..., None].repeat(3, axis=2), (size, size), True)
    found = content if isinstance(content, Encoded) else Encoded(content)
    image = opened(found, config.channels)
    if isinstance(image, Unread):
        notes = [SEVERAL] * image.several
        with MEMORY.of(image.size):
            found_values = image.load()
            shown = _of_values(found_values, found, config, size, notes)
        original = (found_values.shape[1], found_values.shape[0])
        return _noting_crowded(_fitted(shown, original, 1, size, config.fit, notes), found_values.dtype != np.uint8)
    original = image.size
    notes = [SEVERAL] * _is_several(image)
    if config.channels is None:
        _note_channels(tiff.channels(image), len(image.getbands()), notes)
    image.draft(image.mode, (MARGIN * size, MARGIN * size))
    with MEMORY.of(decoded_bytes(image)):
        if is_deep(image):
            shown = _of_values(colours(image, found), found, config, size, notes, transparent=image.format == "PNG")
            turned = _orientation(image, notes)
            return _noting_crowded(_fitted(shown, original, turned, size, config.fit, notes), True)
        image = _whole(image, found)
        turned = _orientation(image, notes)
        if image.format == "TIFF" and image.mode == "RGBA" and max(config.channels or (0,)) < 3:
            notes += [FOURTH] * (image.getchannel("A").getextrema() != (255, 255))
        bounds = _bounds(image, found, config, notes)
        shown = _shrunk(image.size, size, lambda box: _eight_bit(_cropped(image, box), bounds, config.channels))
    return _noting_crowded(_fitted(shown, original, turned, size, config.fit, notes), bounds is not None)


def _noting_crowded(made: Picture, ranged: bool) -> Picture:
    """With a note where values were given a range that nearly all pixels fill a few per cent of."""
    if not ranged or NEARLY_CONSTANT in made.notes:
        return made
    low, high = np.percentile(made.pixels, (5, 95))
    return made._replace(notes=(*made.notes, CROWDED)) if high - low < CROWD else made


def _whole(image: Image.Image, found: Encoded) -> Image.Image:
    """The image with its pixels; of a JPEG that lacks nothing but its end mark too."""
    try:
        return loaded(image, found)
    except OSError:
        assert isinstance(found.content, bytes)
        if image.format not in ("JPEG", "MPO"):
            raise
        # Whatever follows the last block of pixels is not looked at: where it is, some were missing.
        one, other = (Image.open(io.BytesIO(found.content + end + b"\xff\xd9")) for end in (b"\0" * 64, b"\xaa" * 64))
        if one.tobytes() != other.tobytes():
            raise
        return one


def _is_several(image: Image.Image) -> bool:
    return image.format in ("GIF", "TIFF", "WEBP", "PNG", "AVIF") and bool(getattr(image, "is_animated", False))


def _note_channels(count: int, shown: int, notes: list[str]) -> None:
    if count > shown:
        first = "one is" if shown == 1 else f"{shown} are"
        notes.append(f"of {count} channels the first {first} shown: `channels` says which")


def _orientation(image: Image.Image, notes: list[str]) -> int:
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # whatever damaged EXIF makes Pillow raise, the picture is sound
        notes.append("its EXIF is damaged")
        return 1


Bounds = tuple[float, float] | None
Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


def _bounds(image: Image.Image, found: Encoded, config: SourceConfig, notes: list[str]) -> Bounds:
    """The values that become black and white; None where they are 0 and 255 of 8 bits."""
    if config.range != "auto":
        return config.range
    kind = kind_of(image)
    if kind is None:
        return None
    natural = (0.0, 255.0) if kind == "8-bit values" else (0.0, 1.0) if image.mode == "F" else (0.0, 65535.0)
    low, high = found.range or natural
    if (low, high) != natural:
        notes.append(f"{kind}: {low:g} is shown black, {high:g} white")
    return None if (low, high) == natural and kind == "8-bit values" else (low, high)


def _of_values(
    found: np.ndarray, content: Encoded, config: SourceConfig, size: int, notes: list[str], transparent: bool = False
) -> Image.Image:
    """The picture of values [H, W(, channels)]; of 16 bits, the last of 2 or 4 is alpha where `transparent`."""
    if found.ndim not in (2, 3) or (found.ndim == 3 and found.shape[2] == 0):
        raise Refused(
            f"values of the form {list(found.shape)}, and [height, width] or [height, width, channels] is read"
        )
    if found.dtype.kind not in values.REAL:
        raise Refused(f"values of the type {found.dtype}, which are no brightness: save their magnitude, for example")
    natural = values.natural(found)
    low, high = config.range if config.range != "auto" else content.range or natural
    if (low, high) != natural:
        notes.append(f"{values.kind(found)}: {low:g} is shown black, {high:g} white")
    count = 1 if found.ndim == 2 else found.shape[2]
    alpha = count - 1 if transparent and count in (2, 4) else 0
    if config.channels is None:
        _note_channels(alpha or count, 1 if count < 3 else 3, notes)
    on_white = max(config.channels or (0,)) < alpha

    def strip(box: Box) -> Image.Image:
        rows = found[box[1] : box[3]]
        picked = values.picked(rows, config.channels)
        plain = picked.dtype == np.uint8 and (low, high) == (0, 255)
        shown = Image.fromarray(picked if plain else values.eight_bit(picked, low, high))
        if not on_white:
            return shown
        opaque = Image.fromarray((rows[..., alpha] >> 8).astype(np.uint8))
        return Image.composite(shown, Image.new(shown.mode, shown.size, "white"), opaque)

    return _shrunk((found.shape[1], found.shape[0]), size, strip)


def _shrunk(whole: tuple[int, int], size: int, strip: Callable[[Box], Image.Image]) -> Image.Image:
    """The image in mode L or RGB; of a large one, means of squares of pixels that `strip` gives some rows of."""
    width, height = whole
    factor = min(whole) // (MARGIN * size)
    if width * height < LARGE or factor < 2:
        return strip((0, 0, width, height))
    rows = max(1, LARGE // 4 // width // factor) * factor
    made = None
    for top in range(0, height, rows):
        small = strip((0, top, width, min(top + rows, height))).reduce(factor)
        if made is None:
            made = Image.new(small.mode, (small.width, -(-height // factor)))
        made.paste(small, (0, top // factor))
    assert made is not None
    return made


def _cropped(image: Image.Image, box: Box) -> Image.Image:
    """A part of an image, with what is known of all of it."""
    if box == (0, 0, *image.size):
        return image
    part = image.crop(box)
    part.info = image.info
    return part


def _eight_bit(image: Image.Image, bounds: Bounds, channels: tuple[int, ...] | None) -> Image.Image:
    """The image in mode L or RGB, on white where it is transparent, with its values between the bounds."""
    alpha = len(image.getbands()) - 1
    if _transparent(image) and (channels is None or max(channels) < max(alpha, 1)):
        image = _on_white(image)
    if bounds is not None or channels is not None:
        plain = image.mode not in ("P", "PA", "1", "CMYK", "YCbCr", "LAB", "HSV")
        picked = values.picked(np.asarray(image if plain else image.convert("RGB")), channels)
        return Image.fromarray(picked if bounds is None else values.eight_bit(picked, *bounds))
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _transparent(image: Image.Image) -> bool:
    """Whether an image has transparency that can be laid on white, which has 8 bits."""
    if image.mode.startswith(("I", "F")):
        return False
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _on_white(image: Image.Image) -> Image.Image:
    grey = image.mode.startswith("L")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("L" if grey else "RGB")


def _fitted(
    image: Image.Image,
    original: tuple[int, int],
    turned: int,
    size: int,
    fit: Literal["crop", "squash", "pad"],
    notes: list[str],
) -> Picture:
    """The square picture of an image in mode L or RGB."""
    if image.size == (size, size):
        square = image
    elif fit == "crop":
        square = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
        if min(original) * 2 < max(original):
            notes.append(CUT)
    elif fit == "squash":
        square = image.resize((size, size), Image.Resampling.BICUBIC)
    else:
        square = _padded(image, size)
    if turned in TURNED:
        square = square.transpose(TURNED[turned])
    square = square.convert("RGB")
    if _shows_nothing(square):
        notes.append(NEARLY_CONSTANT)
    pixels = np.asarray(square)
    return Picture(pixels, original, bool((pixels == pixels[..., :1]).all()), tuple(notes))


def _shows_nothing(square: Image.Image) -> bool:
    extremes: Any = square.getextrema()  # of each of three channels
    return max(high for _, high in extremes) <= DARK or max(high - low for low, high in extremes) <= FLAT


def _padded(image: Image.Image, size: int) -> Image.Image:
    """The whole image, in its own shape, in the middle of a black square."""
    share = size / max(image.size)
    width, height = (max(1, round(side * share)) for side in image.size)
    square = Image.new(image.mode, (size, size))
    square.paste(image.resize((width, height), Image.Resampling.BICUBIC), ((size - width) // 2, (size - height) // 2))
    return square


def explained(error: Exception) -> str:
    """Why a file was no image, in a few words."""
    return str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}".split(" <_io")[0]
