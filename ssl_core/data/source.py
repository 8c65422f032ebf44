"""What every source of images has in common."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Settings of every source: the side in pixels, what is cut out of train by `seed`, and how many may be unreadable.

    `val_share` and `test_share` are cut per class where the source has no such split. Each source's own configuration
    has its name, `source`, by which configurations are told apart.
    """

    image_size: int = 32
    val_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0
    max_skipped_share: float = 0.01

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


@dataclass(kw_only=True)
class Reading:
    """Images on their way in: `examples` gives each one's path and its content, encoded bytes or uint8 [H, W(, 3)].

    The path says the split and the class, `train/cat/1.jpg`, as layout.py reads it. `sources` (name, bytes and sha256
    of what was read) is complete when `examples` has ended.
    """

    examples: Iterator[tuple[str, bytes | np.ndarray]]
    count: int | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, np.ndarray] = field(default_factory=dict)


def described(file: Path, digest: str) -> dict[str, Any]:
    """A source file as the data card names it."""
    return {"file": file.name, "bytes": file.stat().st_size, "sha256": digest}
