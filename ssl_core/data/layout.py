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


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The split and the label (-1: none) of each path, in the paths' order, and the classes' names."""

    splits: np.ndarray
    labels: np.ndarray
    classes: list[str]


def read(paths: list[str]) -> Layout:
    """Read `[split/][class/]...name` off each path; a folder that holds everything is no class."""
    folders = _without_common([PurePosixPath(path).parts[:-1] for path in paths])
    tops = {parts[0].lower() for parts in folders if parts}
    split_first = bool(tops) and tops <= SPLITS.keys() and all(folders)
    splits, names = [], []
    for parts in folders:
        splits.append(SPLITS[parts[0].lower()] if split_first else "train")
        parts = parts[1:] if split_first else parts
        names.append(parts[0] if parts and splits[-1] != "unlabelled" else None)
    classes = sorted({name for name in names if name is not None})
    if len(classes) == 1:
        raise Refused(f"there is one class only, '{classes[0]}': give at least two, or a flat folder without labels")
    numbers = {name: i for i, name in enumerate(classes)}
    labels = np.array([-1 if name is None else numbers[name] for name in names], dtype=np.int64)
    assigned = np.array(splits, dtype="<U10")
    if classes:
        assigned[(assigned == "train") & (labels < 0)] = "unlabelled"
    return Layout(splits=assigned, labels=labels, classes=classes)


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


def _without_common(folders: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drop the leading folders that all share, unless they are splits."""
    while folders and all(folders) and len({parts[0] for parts in folders}) == 1:
        if folders[0][0].lower() in SPLITS:
            break
        folders = [parts[1:] for parts in folders]
    return folders
