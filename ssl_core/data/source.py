"""What every source of images has in common."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_core.data.structure import Kind, Place
from ssl_core.data.table import LabelTable


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Settings of every source: the side in pixels, what is cut out of train by `seed`, and how many may be unreadable.

    `val_share` and `test_share` are cut per class where the source has no such split. `layout` says what the folders
    are where that cannot be told, `labels` that they are no classes or which table has them; what `group`, a regular
    expression with one pair of parentheses, finds in two paths alike stays in one split; `duplicates` says whether an
    image of train or val that another split has too is dropped; `near_duplicates` in how many of 64 bits the difference
    hashes of two images may differ that count as one there, null where none are looked for: 0 to 4 finds copies that
    were saved or resized anew, more finds what only looks alike; even areas and mere gradients are not compared. Each
    source's own configuration has its name, `source`, by which configurations are told apart.

    `range`: the value that becomes black and the one that becomes white; `auto` measures it, once for the whole set,
    where values are no plain 8 bits. `fit`: how an image becomes a square: `crop` takes the centre, `squash` changes
    its shape, `pad` adds black borders. `channels`: which three (or one) of an image's channels are shown, from 0.
    """

    image_size: int = 32
    val_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0
    max_skipped_share: float = 0.01
    range: Literal["auto"] | tuple[float, float] = "auto"
    fit: Literal["crop", "squash", "pad"] = "crop"
    channels: tuple[int, ...] | None = None
    layout: Kind | None = None
    labels: Literal["folders", "none"] | LabelTable = "folders"
    group: str | None = None
    duplicates: Literal["keep", "drop"] = "keep"
    near_duplicates: int | None = None

    def __post_init__(self) -> None:
        if not 8 <= self.image_size <= 1024:
            raise ValueError(f"image_size is {self.image_size}; 8 to 1024 pixels are allowed")
        for name in ("val_share", "test_share"):
            if not 0 < getattr(self, name) < 0.5:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0 and below 0.5")
        if not 0 <= self.max_skipped_share <= 1:
            raise ValueError(f"max_skipped_share is {self.max_skipped_share}; 0 to 1 is allowed")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be 0 or more")
        if self.near_duplicates is not None and not 0 <= self.near_duplicates <= 16:
            raise ValueError(f"near_duplicates is {self.near_duplicates}; 0 to 16 of 64 bits are allowed, or null")
        if self.range != "auto" and not self.range[0] < self.range[1]:
            raise ValueError(f"range is {list(self.range)}; the first value, black, must be below the second, white")
        if self.channels is not None and (len(self.channels) not in (1, 3) or min(self.channels) < 0):
            raise ValueError(f"channels is {list(self.channels)}; one or three numbers are allowed, from 0")
        if self.group is not None and _groups(self.group) != 1:
            raise ValueError(
                f"group is {self.group!r}; a regular expression with one pair of parentheses is needed, as '(p[0-9]+)_'"
            )


@dataclass(frozen=True)
class Encoded:
    """An image file as it was found: its content and its name, by which together its format is known.

    `range`: the values that become black and white, measured over the set; None where they need no range, or it is not
    known. `trouble`: why the content could not be had, where it could not. `content` may be an array that is no plain
    uint8 image: any values, [H, W] or [H, W, channels]. `place`: its split ("" where none is said) and label, of a
    source that keeps them beside the image; None where the path says them.
    """

    content: bytes | np.ndarray
    name: str = ""
    range: tuple[float, float] | None = None
    trouble: str = ""
    place: Place | None = None


Content = bytes | np.ndarray | Encoded
"""An image on its way in: a file's bytes, uint8 [H, W(, 3)], or what is known of a file beside them."""


@dataclass(kw_only=True)
class Reading:
    """Images on their way in: `examples` gives each one's path and its content.

    The path says the split and the class, `train/cat/1.jpg`, as layout.py reads it, where the content has no `place`.
    Complete when `examples` has ended:
    `sources` (name, bytes and sha256 of what was read), `left_out` (why -> the names of what was lost or is no image),
    `remarks` (sentences on how names and files were read), `folders` (those that were seen, also without an image).
    `foreseen`: of a source that knows them before it reads an image, the paths and places that will be read, as far as
    names tell.
    """

    examples: Iterator[tuple[str, Content]]
    count: int | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    foreseen: Callable[[], list[tuple[str, Place | None]]] | None = None

    def leave_out(self, why: str, name: str) -> None:
        """Keep the name of what is not read, once."""
        names = self.left_out.setdefault(why, [])
        if not names or names[-1] != name:
            names.append(name)


def _groups(pattern: str) -> int | None:
    try:
        return re.compile(pattern).groups
    except re.error:
        return None


def sha256(file: Path) -> str:
    """The file's digest, hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def described(file: Path, digest: str) -> dict[str, Any]:
    """A source file as the data card names it."""
    return {"file": file.name, "bytes": file.stat().st_size, "sha256": digest}
