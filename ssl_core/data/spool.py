"""The pixels of all images in one file, window by window in the order of their reading; an interrupted run goes on.

Beside it lies a log, a line a window, written after its pixels: a digest of what it was made from (paths, contents,
settings, this code), a digest of its pixels, and what became of each image. Who reads the same images again takes
window after window for as long as all three are right. From the first that is not, everything is decoded anew: so a
changed source is noticed, whatever changed in it, and nothing that was half written is taken.
"""

import fcntl
import hashlib
import json
import shutil
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import numpy as np

from ssl_core.data.source import Encoded, SourceConfig
from ssl_core.data.window import Known, Window, Windowful
from ssl_core.errors import Refused

MANY = 4096
"""Images from which on what fails leaves those behind that it has decoded: fewer are soon decoded again."""
READERS = ("numpy", "pillow", "pillow-heif", "pydicom", "tifffile")
"""What pixels depend on beside this code."""


class Spool:
    """Pixels and log in `folder`, which a block that ends well removes."""

    def __init__(self, folder: Path, config: SourceConfig) -> None:
        self.folder, self.config, self.file = folder, config, folder / "pixels"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in (self.file, self.folder / "log"):
            file.touch()
        self.pixels, self.log = self.file.open("r+b"), (self.folder / "log").open("r+b")
        self.places = (0, 0)
        try:
            fcntl.flock(self.log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            raise Refused(f"another run decodes into {self.folder}: wait until it has ended") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close()
        many = MANY * self.config.image_size**2 * 3
        if kind is None or self.file.stat().st_size < many:
            shutil.rmtree(self.folder)

    def _close(self) -> None:
        self.pixels.close()
        self.log.close()

    def taken(self, window: Window) -> Windowful | None:
        """What became of the next window, where it is decoded already; None where it is not, or was another."""
        try:
            kept: dict[str, Any] = json.loads(self.log.readline())
        except ValueError:  # the end, or half a line
            return None
        if kept["from"] != digest(window, self.config).hex():
            return None
        pixels = self.pixels.read(kept["bytes"])
        if _hashed(pixels) != kept["pixels"]:
            return None
        self.places = self.pixels.tell(), self.log.tell()
        return Windowful([_known(one) for one in kept["images"]], pixels)

    def cut(self) -> None:
        """Forget what was not taken."""
        for file, place in zip((self.pixels, self.log), self.places, strict=True):
            file.seek(place)
            file.truncate()

    def add(self, key: bytes, found: Windowful) -> None:
        """Keep a window with the digest of what it was made from."""
        self.pixels.write(found.pixels)
        self.pixels.flush()
        line = {"from": key.hex(), "pixels": _hashed(found.pixels), "bytes": len(found.pixels), "images": found.known}
        self.log.write(json.dumps(line).encode() + b"\n")
        self.log.flush()

    def images(self) -> np.ndarray:
        """All of them, uint8 [N, H, W, 3]; mapped at each call: what a map has read is in memory as long as the map."""
        side = self.config.image_size
        return np.memmap(self.file, np.uint8, "r").reshape(-1, side, side, 3)


def digest(window: Window, config: SourceConfig) -> bytes:
    """32 bytes of all that a window's pixels depend on."""
    found = hashlib.blake2b(_code(), digest_size=32)
    found.update(repr((config.image_size, config.range, config.fit, config.channels)).encode())
    for path, content in window:
        one = content if isinstance(content, Encoded) else Encoded(content)
        kind = (one.content.dtype.str, one.content.shape) if isinstance(one.content, np.ndarray) else len(one.content)
        found.update(repr((path, one.name, one.range, one.trouble, kind)).encode())
        found.update(np.ascontiguousarray(one.content).data if isinstance(one.content, np.ndarray) else one.content)
    return found.digest()


@cache
def _code() -> bytes:
    """A digest of the code that decodes, and of the versions of what it calls."""
    found = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        found.update(file.read_bytes())
    for name in READERS:
        found.update(f"{name} {next((one.version for one in metadata.distributions(name=name)), None)}".encode())
    return found.digest()


def _hashed(pixels: bytes) -> str:
    return hashlib.blake2b(pixels, digest_size=16).hexdigest()


def _known(kept: Any) -> Known:
    if isinstance(kept, str):
        return kept
    (width, height), grey, notes = kept
    return (width, height), grey, tuple(notes)
