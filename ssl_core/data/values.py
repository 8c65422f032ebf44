"""From values of any depth to 8 bits, by one range for all images of a set.

A detector's 12 bits in 16, a scanner's signed numbers, a mask's classes or floating-point numbers would be black
pictures if their type said what is white; a range of each image's own would make noise of the dark ones. So the range
is measured once, over a sample of the set that its names alone choose.
"""

import heapq
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ssl_core.data.source import Encoded
from ssl_core.errors import Refused

SAMPLE = 256
"""Images that the range is measured on."""
PIXELS = 4096
"""Pixels of each that are looked at, evenly spaced."""
CLASSES = 15
"""Where the 8-bit values of no sampled image are above, they are numbers of classes, and no brightness."""
REAL = "uif"
"""The kinds of numbers, as numpy names them, that are shown: whole ones and floating-point ones."""
FAR = 2
"""How much further than all others are apart a value lies that is a mark, and no brightness."""


@dataclass(frozen=True)
class Unread:
    """An image that Pillow does not read: what gives its values, [H, W] or [H, W, channels], and how many bytes.

    `several`: whether it is the first of several pages or frames.
    """

    load: Callable[[], np.ndarray]
    size: int
    several: bool = False


@contextmanager
def refusing_damage(what: str) -> Iterator[None]:
    """Make one sentence of what a reader and its decoders raise, of all kinds; `what`: "TIFF that tifffile"."""
    try:
        yield
    except Exception as error:
        raise Refused(f"{what} cannot read ({type(error).__name__}: {error})") from None


def kind(values: np.ndarray) -> str | None:
    """What values of this type are called; None of plain colours, [H, W, channels] of 8 bits, or no real numbers."""
    if values.dtype.kind not in REAL:
        return None
    if values.dtype.kind == "f":
        return "floating-point values"
    if values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] > 1:
        return None
    return f"{8 * values.dtype.itemsize}-bit values"


def natural(values: np.ndarray) -> tuple[float, float]:
    """The range that the type says, where nothing is known of the set."""
    if values.dtype.kind == "f":
        return 0.0, 1.0
    return 0.0, 255.0 if values.dtype.itemsize == 1 else 65535.0


def picked(found: np.ndarray, channels: tuple[int, ...] | None) -> np.ndarray:
    """The channels to be shown, [H, W] or [H, W, 3]."""
    count = 1 if found.ndim == 2 else found.shape[2]
    if channels is None:
        if count > 4:
            raise Refused(f"{count} channels: say which are shown, for example `channels: [2, 1, 0]`, or one alone")
        channels = (0,) if count < 3 else (0, 1, 2)
    if max(channels) >= count:
        raise Refused(f"{count} channels, and channels is {list(channels)}: they are counted from 0")
    stacked = found[..., None] if found.ndim == 2 else found
    return np.ascontiguousarray(stacked[..., channels[0]] if len(channels) == 1 else stacked[..., list(channels)])


def sampled(values: np.ndarray) -> np.ndarray:
    """The finite values of about `PIXELS` pixels of an image, evenly spaced: in an array that keeps no image."""
    pixels = values.reshape(values.shape[0] * values.shape[1], -1)  # so that no channel is left out
    flat = pixels[:: max(1, len(pixels) // PIXELS)].flatten()
    return flat[np.isfinite(flat)] if flat.dtype.kind == "f" else flat


def measured(values: np.ndarray) -> tuple[float, float]:
    """The range of a set, of values sampled from it.

    From 0 to a whole number of bits (to 1, of floating-point values) where they fill a quarter of that: so a
    detector's bits are found. Else from the 0.1 to the 99.9 per cent point: a scanner's signed values, for example. A
    value far from all others (a marker burnt in at 65535, -9999 for no data, a mask's 255) is not looked at.
    """
    if not len(values):
        return 0.0, 1.0
    values = _without_spike(_without_spike(values, np.max), np.min)
    if values.dtype == np.uint8:
        top = int(values.max())
        return 0.0, 255.0 if top > CLASSES else float(max(top, 1))
    low, high = (float(value) for value in np.percentile(values, (0.1, 99.9)))
    bits = max(1, int(np.ceil(np.log2(max(high, 1) + 1 - 1e-9))))
    top = 2.0**bits - 1
    if low >= 0 and high - low >= top / 4:
        return 0.0, top
    return (low, high) if low < high else (low, low + 1)


def _without_spike(values: np.ndarray, extreme: Callable[[np.ndarray], np.generic]) -> np.ndarray:
    """Without the largest (or least) value where it is `FAR` times as far from the others as these are apart."""
    far = extreme(values)
    rest = values[values != far]
    if not len(rest):
        return values
    low, high, spike = float(rest.min()), float(rest.max()), float(far)
    gap = max(spike - high, low - spike)
    return rest if high - low > 0 and gap > FAR * (high - low) else values


def eight_bit(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 of the same shape: `low` and less, and what is no number, black; `high` and more white."""
    if values.dtype == np.uint16 or values.dtype == np.uint8:
        every = np.arange(np.iinfo(values.dtype).max + 1)
        return ((every - low) * 255 / (high - low)).clip(0, 255).astype(np.uint8)[values]
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.nan_to_num(scaled, nan=0.0).clip(0, 255).astype(np.uint8)


class Ranges:
    """The range of each kind of values in a set, measured when an image of that kind is met first.

    `again` goes over the set once more, a path and what loads its image; `kind` says of an image which kind of values
    it has, None where they are plain; `sampled` gives some of them.
    """

    def __init__(
        self,
        again: Callable[[], Iterable[tuple[str, Callable[[], Encoded | None]]]],
        kind: Callable[[Encoded], str | None],
        sampled: Callable[[Encoded], np.ndarray],
    ) -> None:
        self.again, self.kind, self.sampled = again, kind, sampled
        self.known: dict[str, tuple[float, float]] | None = None

    def of(self, content: Encoded) -> tuple[float, float] | None:
        """The range for an image; None where it needs none, or its values cannot be had."""
        kind = self.kind(content)
        if kind is None:
            return None
        if self.known is None:
            self.known = self._measured()
        if kind not in self.known:  # too rare for the sample
            values = self._sampled(content)
            if values is None:
                return None
            self.known[kind] = measured(values)
        return self.known[kind]

    def _measured(self) -> dict[str, tuple[float, float]]:
        """Of the images whose paths have the lowest checksums: so that their order changes nothing."""
        kept: list[tuple[int, int, str, np.ndarray]] = []
        for i, (path, load) in enumerate(self.again()):
            place = -zlib.crc32(path.encode("utf-8", "surrogateescape"))
            if len(kept) == SAMPLE and place <= kept[0][0]:
                continue
            content = load()
            kind = self.kind(content) if content else None
            values = self._sampled(content) if content and kind else None
            if kind and values is not None:
                heapq.heappush(kept, (place, i, kind, values))
                if len(kept) > SAMPLE:
                    heapq.heappop(kept)
        names = sorted({kind for _, _, kind, _ in kept})
        return {name: measured(np.concatenate([v for _, _, kind, v in kept if kind == name])) for name in names}

    def _sampled(self, content: Encoded) -> np.ndarray | None:
        try:
            return self.sampled(content)
        except Exception:  # whatever a damaged file makes Pillow raise, the range is that of the others
            return None
