"""Which images are val and test where nobody has said: cut out of train by seed, per class, whole groups at a time."""

import re
from collections.abc import Sequence

import numpy as np

from ssl_core.data.spellings import TEST, TRAIN, UNLABELLED, VAL
from ssl_core.errors import Refused


def cut(
    splits: np.ndarray, labels: np.ndarray, groups: np.ndarray, val_share: float, test_share: float, seed: int
) -> np.ndarray:
    """The splits with test and val, where they are missing, cut out of train; the draw depends on the images' order.

    `splits`: texts [N]; `labels`: int64 [N], -1 for none; `groups`: int64 [N], those of one number stay together, and
    count for the class of most of them. Of a class with three images (or groups) or more each split has one. Raises
    `Refused` where a split is left without an image.
    """
    splits = splits.copy()
    generator = np.random.default_rng(seed)
    wanted = [(name, share) for name, share in ((TEST, test_share), (VAL, val_share)) if not (splits == name).any()]
    for i, (name, share) in enumerate(wanted):
        train = np.flatnonzero(splits == TRAIN)
        units, inverse, sizes = np.unique(groups[train], return_inverse=True, return_counts=True)
        of_unit = _most_frequent(inverse, labels[train], len(units))
        taken = np.zeros(len(units), dtype=bool)
        ordered = np.argsort(of_unit, kind="stable")
        for members in np.split(ordered, np.flatnonzero(np.diff(of_unit[ordered])) + 1):
            drawn = generator.permutation(members)
            most = max(0, len(drawn) - (len(wanted) - i))  # one is left for train and for each split to come
            taken[drawn[: min(max(_nearest(sizes[drawn], share), 1), most)]] = True
        splits[train[taken[inverse]]] = name
    for name in (TRAIN, VAL, TEST):
        if not (splits == name).any():
            raise Refused(
                f"no image is left for the {name} split: of {len(splits)} images in {len(np.unique(groups))} groups "
                "too few can be moved; a class needs three images (with group: three groups) to have one in each split"
            )
    return splits


def by_pattern(paths: Sequence[str], pattern: str) -> tuple[list[str], int]:
    """The group that each path names, by a regular expression with one pair of parentheses; and how many name none.

    Those are each a group of their own. Raises `Refused` where none names any.
    """
    found = [match[1] if (match := re.search(pattern, path)) else None for path in paths]
    without = sum(not group for group in found)
    if without == len(paths):
        raise Refused(f"group is {pattern!r}, which is found in no path; the first is {paths[0]}")
    return [group or f"\0{path}" for group, path in zip(found, paths, strict=True)], without


def told_apart(splits: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, int]:
    """Unlabelled images of a group that val or test has, as a mask [N]; how many groups stand in two other splits."""
    held = np.isin(groups, groups[np.isin(splits, (VAL, TEST))])
    seen = np.unique(np.stack([groups[splits != UNLABELLED], _numbers(splits[splits != UNLABELLED])]), axis=1)[0]
    return held & (splits == UNLABELLED), len(seen) - len(np.unique(seen))


def _numbers(splits: np.ndarray) -> np.ndarray:
    return np.unique(splits, return_inverse=True)[1]


def _most_frequent(units: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The label that most images of each unit have, the least of equals: int64 [count]."""
    if len(units) == count:  # each image is a group of its own: a million of them are not worth sorting
        found = np.empty(count, dtype=np.int64)
        found[units] = labels
        return found
    pairs, often = np.unique(np.stack([units, labels]), axis=1, return_counts=True)
    order = np.lexsort((-pairs[1], often, pairs[0]))
    found = np.empty(count, dtype=np.int64)
    found[pairs[0][order]] = pairs[1][order]
    return found


def _nearest(sizes: np.ndarray, share: float) -> int:
    """How many units, from the first on, come nearest to a share of the images."""
    reached = np.concatenate([[0], sizes.cumsum()])
    return int(np.abs(reached - round(share * int(reached[-1]))).argmin())
