"""A window of images: some that are decoded in one go, and what became of them in a form to be sent and kept."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ssl_core.data.decode import Picture, decode, explained
from ssl_core.data.memory import TooLargeHereError
from ssl_core.data.source import Content, SourceConfig

Example = tuple[str, Content]
Window = Sequence[Example]
Made = tuple[str, Picture | str]
"""The path of an image, and what `decode` makes of it, or a word on why that is none."""
Known = tuple[tuple[int, int], bool, tuple[str, ...]] | str | None
"""What a picture is beside its pixels; why there is none; None where another process has to decode it."""


class Windowful(NamedTuple):
    """What became of each image, and the pixels of those that were decoded, one after the other."""

    known: list[Known]
    pixels: bytes


def decoded(window: Window, config: SourceConfig) -> Windowful:
    """The window's images, decoded."""
    return packed([_decode(content, config) for _, content in window])


def packed(made: Sequence[Picture | str | None]) -> Windowful:
    """Pictures as they are sent and kept."""
    return Windowful(
        [(one.original, one.grey, one.notes) if isinstance(one, Picture) else one for one in made],
        b"".join(one.pixels.tobytes() for one in made if isinstance(one, Picture)),
    )


def completed(window: Window, found: Windowful, config: SourceConfig) -> Windowful:
    """With the images decoded here that a worker has no memory for."""
    if None not in found.known:
        return found
    pairs = zip(unpacked(window, found, config), window, strict=True)
    return packed([_decode(content, config) if one is None else one for (_, one), (_, content) in pairs])


def unpacked(window: Window, found: Windowful, config: SourceConfig) -> list[tuple[str, Picture | str | None]]:
    """Each image's path and what became of it."""
    pixels = iter(np.frombuffer(found.pixels, np.uint8).reshape(-1, config.image_size, config.image_size, 3))
    return [
        (path, Picture(next(pixels), *one) if isinstance(one, tuple) else one)
        for (path, _), one in zip(window, found.known, strict=True)
    ]


def _decode(content: Content, config: SourceConfig) -> Picture | str | None:
    try:
        return decode(content, config.image_size, config)
    except TooLargeHereError:
        return None
    except Exception as error:  # whatever a damaged file makes Pillow raise, the next file is read
        return explained(error)
