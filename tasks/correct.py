"""Which test images a cell got right, a bit an image: what an interval needs to count the test set's finiteness."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file, save

FILE = "correct.safetensors"
"""Beside the figures that it belongs to, `figures/<cell>/<stage>/<images>/`."""
LENGTH = 4
"""Bytes before the bits, which say how many images there are: uint32, little-endian."""


class Predicted(NamedTuple):
    """By what the test images were predicted: a head, fitted to a representation with a share of the labels."""

    representation: str
    head: str
    fraction: float


def write(of: Mapping[Predicted, np.ndarray], folder: Path) -> None:
    """Write bool [N] of each head, N labelled test images in the order of the split; without any, an empty file."""
    packed = {f"{p.representation}/{p.head}/{p.fraction!r}": _packed(right) for p, right in of.items()}
    (folder / FILE).write_bytes(save(packed))


def read(folder: Path) -> dict[Predicted, np.ndarray]:
    """What `write` wrote: bool [N] of each head."""
    found = {}
    for name, packed in load_file(folder / FILE).items():
        representation, head, fraction = name.split("/")
        found[Predicted(representation, head, float(fraction))] = _unpacked(packed)
    return found


def _packed(right: np.ndarray) -> np.ndarray:
    length = np.frombuffer(len(right).to_bytes(LENGTH, "little"), np.uint8)
    return np.concatenate([length, np.packbits(right.astype(bool))])


def _unpacked(packed: np.ndarray) -> np.ndarray:
    count = int.from_bytes(packed[:LENGTH].tobytes(), "little")
    return np.unpackbits(packed[LENGTH:], count=count).astype(bool)
