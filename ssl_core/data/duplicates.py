"""Images of the same pixels: in two splits, where they make an accuracy too good, and in two classes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ssl_core.data import targets
from ssl_core.data.spellings import TEST, TRAIN, UNLABELLED, VAL, clean

DIGEST = np.dtype("V16")
NAMED = 3
LEAKS = ((TRAIN, TEST), (VAL, TEST), (TRAIN, VAL), (UNLABELLED, TEST), (UNLABELLED, VAL))
"""Splits that must not share an image: the first is chosen or trained on, the second is measured on."""
CONTRADICTING = {
    "class": "are in two classes",
    "labels": "have different labels",
    "number": "have different numbers",
}


@dataclass
class Duplicates:
    """How many images of the first split stand in the second, in words; those in two classes; `extra`: any others.

    `dropped`: a mask [N] of the images to drop so that no split shares one with a later of train, val and test.
    `near` and `near_dropped`: the same of images that are nearly alike, None where they were not looked for. `leaked`:
    sentences on what stands in two splits; `contradictions`: on what is in two classes; `notes`: any others.
    """

    leaks: dict[str, int] = field(default_factory=dict)
    near: dict[str, int] | None = None
    classes: int = 0
    extra: int = 0
    leaked: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dropped: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    near_dropped: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))


def digest(pixels: bytes) -> bytes:
    """16 bytes that tell images apart."""
    return hashlib.blake2b(pixels, digest_size=16).digest()


def find(digests: np.ndarray, splits: np.ndarray, labels: np.ndarray, paths: Sequence[str]) -> Duplicates:
    """The images of one digest among those that are read. `digests`: V16 [N]; `splits`: texts [N] ("": not read).

    `labels`: as `targets` has them.
    """
    _, which, often = np.unique(digests, return_inverse=True, return_counts=True)
    read = splits != ""
    found = Duplicates(dropped=np.zeros(len(splits), dtype=bool))
    if not (often[which[read]] > 1).any():
        return found
    for first, second in LEAKS:
        shared = read & (splits == first) & np.isin(which, which[splits == second])
        found.dropped |= shared
        if shared.any():
            found.leaks[f"{first} in {second}"] = int(shared.sum())
            found.leaked.append(
                f"{int(shared.sum()):,} images of {first} have the very pixels of an image of {second} "
                f"({_named(shared, which, splits == second, paths)})"
            )
    codes = targets.codes(labels)
    pairs = np.unique(np.stack([which[read & (codes >= 0)], codes[read & (codes >= 0)]]), axis=1)[0]
    contradicting = np.isin(which, pairs[1:][pairs[1:] == pairs[:-1]]) & read & (codes >= 0)
    if contradicting.any():
        found.classes = int(contradicting.sum())
        found.contradictions.append(
            f"{found.classes:,} images of the same pixels {CONTRADICTING[targets.target(labels)]} "
            f"({_named(contradicting, which, contradicting, paths)})"
        )
    found.extra = int(read.sum() - len(np.unique(which[read])))
    return found


def _named(shown: np.ndarray, which: np.ndarray, among: np.ndarray, paths: Sequence[str]) -> str:
    """Some of the images, each with another one of its pixels."""
    said = []
    for index in map(int, np.flatnonzero(shown)[:NAMED]):
        others = np.flatnonzero(among & (which == which[index])).tolist()
        other = next(i for i in others if i != index)
        said.append(f"{clean(paths[index])} = {clean(paths[other])}")
    return ", ".join(said) + ", …" * (int(shown.sum()) > NAMED)
