"""Images that are nearly alike and stand in two splits, by the difference hash of each.

N. Krawetz, "Kind of Like That", hackerfactor.com, 2013: of a picture in grey, shrunk to 9 x 8 values, which of them are
larger than the one left of them. One that was saved again, brightened or made smaller keeps nearly all of the 64 bits.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from PIL import Image

from ssl_core.data.duplicates import LEAKS, NAMED, Duplicates
from ssl_core.data.spellings import clean

BITS, SIDE = 64, 8
PAIRS = 2**22
"""Pairs that are compared at once."""


def difference_hash(pixels: np.ndarray) -> bytes:
    """8 bytes of an image, uint8 [H, W, 3]."""
    grey = Image.fromarray(pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey)
    return np.packbits(values[:, 1:] > values[:, :-1]).tobytes()


def near(hashes: np.ndarray, others: np.ndarray, bits: int) -> np.ndarray:
    """Of each hash the place of one in `others` that differs in at most `bits` bits, -1 without: int64 [N].

    `hashes`: uint64 [N]; `others`: uint64 [M]. Of `bits` + 1 bands at least one is equal in two such hashes, so that
    only hashes with an equal band are compared.
    """
    found = np.full(len(hashes), -1)
    for shift, mask in _bands(bits + 1):
        bands = others >> shift & mask
        order = np.argsort(bands, kind="stable")
        missing = np.flatnonzero(found < 0)
        wanted = hashes[missing] >> shift & mask
        starts, ends = (np.searchsorted(bands[order], wanted, side) for side in ("left", "right"))
        counts = ends - starts
        parts = np.flatnonzero(np.diff(np.cumsum(counts) // PAIRS)) + 1
        for part in np.split(np.arange(len(missing)), parts):
            rows = np.repeat(part, counts[part])
            begins = np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
            partners = order[starts[rows] + np.arange(len(rows)) - begins]
            close = np.bitwise_count(hashes[missing[rows]] ^ others[partners]) <= bits
            found[missing[rows[close]]] = partners[close]
    return found


def add(found: Duplicates, hashes: np.ndarray, splits: np.ndarray, paths: Sequence[str], bits: int) -> None:
    """Add the images of one split that are nearly one of another's, but not of its very pixels. `hashes`: uint64 [N].

    An image whose hash is that of an even area, or of one that becomes brighter towards the right, but for `bits`, has
    too little in it to be told from others.
    """
    ones = np.bitwise_count(hashes)
    empty = (np.minimum(ones, BITS - ones) <= bits) & (splits != "")
    found.near, found.near_dropped = {}, np.zeros(len(hashes), dtype=bool)
    for first, second in LEAKS:
        ours = np.flatnonzero((splits == first) & ~empty & ~found.dropped)
        theirs = np.flatnonzero((splits == second) & ~empty)
        partners = near(hashes[ours], hashes[theirs], bits)
        shared = ours[partners >= 0]
        found.near_dropped[shared] = True
        if len(shared):
            found.near[f"{first} in {second}"] = len(shared)
            pairs = zip(map(int, shared[:NAMED]), map(int, theirs[partners[partners >= 0]]), strict=False)
            named = ", ".join(f"{clean(paths[one])} ~ {clean(paths[other])}" for one, other in pairs)
            found.leaked.append(
                f"{len(shared):,} images of {first} are nearly an image of {second} ({named}"
                f"{', …' * (len(shared) > NAMED)})"
            )
    if empty.any():
        found.notes.append(f"{int(empty.sum()):,} images have too little in them to look for near duplicates of them")


def _bands(count: int) -> Iterator[tuple[np.uint64, np.uint64]]:
    """Where each of so many bands begins in 64 bits, and as many ones as it has bits."""
    edges = [BITS * i // count for i in range(count + 1)]
    for low, high in pairwise(edges):
        yield np.uint64(low), np.uint64(2 ** (high - low) - 1)
