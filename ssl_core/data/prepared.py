"""The prepared images on disk: one uint8 array and one label array a split, and a card that describes them.

`<split>_images.npy` uint8 [N, H, W, 3], `<split>_labels.npy` int64 [N] (-1: unlabelled), or as `targets` has several
labels and numbers, `<split>_files.jsonl` the path of each in its source, a JSON string a line (about 30 bytes an image:
a hundredth of its pixels at 32 x 32), `card.json`, `contact_sheet.png`.
Splits: train, val, test, and `unlabelled` where images came without labels beside labelled ones.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ssl_core.data.targets import Target
from ssl_core.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Card:
    """What the prepared images are; `mean` and `std` of the three colours over train, in 0..1.

    `splits`: of each its `count`, its images `per_class`, and the `sha256` of its images' and labels' bytes. `skipped`:
    files that are no images or damaged; `left_out`: why others were not read, with their `count` and the first `files`.
    `unseen`: the classes that no image of val and of test shows. `notes` and `warnings`: sentences on how it was read.
    `duplicates`: images that stand in two splits, in two classes, and any others of equal pixels, and where they were
    looked for those that stand nearly in two splits; `groups`: how many. `target`: what an image is labelled with. Of
    several labels `classes` are their names, and `per_class` counts the images that have each; of a number, its name
    alone, and `splits` has the `least`, `greatest`, `mean` and `std` of its `numbers`.
    """

    name: str
    image_size: int
    classes: list[str]
    splits: dict[str, dict[str, Any]]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    grey: bool
    original_sizes: dict[str, int]
    sources: list[dict[str, Any]]
    skipped: dict[str, Any]
    left_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    unseen: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    duplicates: dict[str, Any] = field(default_factory=dict)
    groups: int | None = None
    target: Target = "class"

    @property
    def labelled_with(self) -> str:
        """In words: `10 classes`."""
        match self.target:
            case "class":
                return f"{len(self.classes) or 'no'} classes"
            case "labels":
                return f"{len(self.classes)} labels, several an image"
            case "number":
                numbers = self.splits["train"]["numbers"]
                return f"a number, {self.classes[0]}, from {numbers['least']:.4g} to {numbers['greatest']:.4g}"

    def written(self) -> dict[str, Any]:
        """As `card.json` has it, in which classes go without saying."""
        return {key: value for key, value in asdict(self).items() if (key, value) != ("target", "class")}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A prepared folder."""

    folder: Path
    card: Card

    @property
    def splits(self) -> list[str]:
        """The names of the splits."""
        return list(self.card.splits)

    def images(self, split: str) -> np.ndarray:
        """A split's images, uint8 [N, H, W, 3], mapped from disk (copy on write)."""
        return np.load(self.folder / f"{split}_images.npy", mmap_mode="c")

    def labels(self, split: str) -> np.ndarray:
        """A split's labels, int64 [N]; -1 is unlabelled. Several an image and numbers are as `targets` has them."""
        return np.load(self.folder / f"{split}_labels.npy")

    def wanted(self, split: str) -> np.ndarray:
        """What heads and objectives are to tell: the labels, but that numbers have mean 0 and variance 1 in train.

        Float32 then. R² is the same of both.
        """
        labels = self.labels(split)
        if self.card.target != "number":
            return labels
        train = self.card.splits["train"]["numbers"]
        return ((labels - train["mean"]) / (train["std"] or 1.0)).astype(np.float32)

    def files(self, split: str) -> Iterator[str]:
        """The paths of a split's images in their source, as the card's `sources` name it, in the images' order.

        Raises `Refused` where an earlier version prepared them.
        """
        listed = self.folder / f"{split}_files.jsonl"
        if not listed.exists():
            raise Refused(f"{listed} is missing: an earlier version prepared these images; run the prepare stage again")
        with listed.open() as lines:
            while some := list(islice(lines, 1024)):  # in one go: line by line takes ten times as long
                yield from json.loads(f"[{','.join(some)}]")


def load(folder: Path) -> Prepared:
    """Open a prepared folder. Raises `Refused` where there is none."""
    try:
        content = json.loads((folder / "card.json").read_text())
    except FileNotFoundError:
        raise Refused(f"there are no prepared images in {folder}: run the prepare stage first") from None
    content["mean"], content["std"] = tuple(content["mean"]), tuple(content["std"])
    return Prepared(folder=folder, card=Card(**content))
