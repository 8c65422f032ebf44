"""What a tree's paths say: which split and which class each image is of."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from ssl_core.errors import Refused

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "unlabelled": "unlabelled",
    "unlabeled": "unlabelled",
}

Folder = tuple[str, ...]
"""The parts of a path but for its file's name."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The split and the label (-1: none) of each path, in the paths' order, and the classes' names."""

    splits: np.ndarray
    labels: np.ndarray
    classes: list[str]


def read(paths: list[str]) -> Layout:
    """Read `[split/][class/]...name` off each path; a folder that holds everything is no class."""
    places = read_folders([PurePosixPath(path).parts[:-1] for path in paths])
    splits, names = [split or "train" for split, _ in places], [name for _, name in places]
    classes = sorted({name for name in names if name is not None})
    if len(classes) == 1:
        raise Refused(f"there is one class only, '{classes[0]}': give at least two, or a flat folder without labels")
    numbers = {name: i for i, name in enumerate(classes)}
    labels = np.array([-1 if name is None else numbers[name] for name in names], dtype=np.int64)
    return Layout(splits=np.array(splits, dtype="<U10"), labels=labels, classes=classes)


def read_folders(folders: list[Folder]) -> list[tuple[str | None, str | None]]:
    """The split and the class that each folder of a tree says, None where it says none; of all that hold images.

    Where there are classes, what is of none and no test or val image is unlabelled.
    """
    folders = _without_common(folders)
    tops = {parts[0].lower() for parts in folders if parts}
    split_first = bool(tops) and tops <= SPLITS.keys() and all(folders)
    places = []
    for parts in folders:
        split = SPLITS[parts[0].lower()] if split_first else None
        parts = parts[1:] if split_first else parts
        places.append((split, parts[0] if parts and split != "unlabelled" else None))
    if any(name for _, name in places):
        places = [
            ("unlabelled" if name is None and split in (None, "train") else split, name) for split, name in places
        ]
    return places


def cut(layout: Layout, val_share: float, test_share: float, seed: int) -> np.ndarray:
    """The splits of each image with test and val, where they are missing, cut per class out of train by seed."""
    splits = layout.splits.copy()
    generator = np.random.default_rng(seed)
    for name, share in (("test", test_share), ("val", val_share)):
        if (splits == name).any():
            continue
        for label in np.unique(layout.labels[splits == "train"]):
            members = np.flatnonzero((splits == "train") & (layout.labels == label))
            splits[generator.permutation(members)[: round(share * len(members))]] = name
    for name in ("train", "val", "test"):
        if not (splits == name).any():
            raise Refused(f"no image is left for the {name} split: {len(splits)} images are too few for these shares")
    return splits


def _without_common(folders: list[Folder]) -> list[Folder]:
    """Drop the leading folders that all share, unless they are splits."""
    while folders and all(folders) and len({parts[0] for parts in folders}) == 1:
        if folders[0][0].lower() in SPLITS:
            break
        folders = [parts[1:] for parts in folders]
    return folders
