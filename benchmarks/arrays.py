"""Images and labels of a folder of prepared arrays, or of a folder or archive of pictures that PIL reads."""

import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

SPLITS = ("train", "val", "test")
EACH = 10
"""Every tenth picture of a class is val's, where none is given."""


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """By split: uint8 [N, H, W, 3] and int64 [N]; mean and deviation of train's three colours, in 0..1."""

    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def classes(self) -> int:
        return int(self.labels["train"].max()) + 1


def load(source: Path, kept: Path) -> Arrays:
    """The arrays of `source`; those of pictures are made once, in `kept`."""
    folder = source if (source / "train_images.npy").exists() else kept
    if not (folder / "test_labels.npy").exists():
        _decode(source, kept)
    images = {name: np.load(folder / f"{name}_images.npy") for name in SPLITS}
    labels = {name: np.load(folder / f"{name}_labels.npy") for name in SPLITS}
    colours = images["train"].reshape(-1, 3)
    mean, std = (tuple((each / 255).tolist()) for each in (colours.mean(axis=0), colours.std(axis=0)))
    return Arrays(images=images, labels=labels, mean=mean, std=std)


def _decode(source: Path, into: Path) -> None:
    """`<split>/<class>/<name>` to arrays, in the order of the names."""
    found = {
        place.parts[-3:]: np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        for place, content in _contents(source)
        if len(place.parts) > 2 and place.parts[-3] in SPLITS
    }
    classes, given = sorted({name for _, name, _ in found}), {split for split, *_ in found}
    images: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    labels: dict[str, list[int]] = {name: [] for name in SPLITS}
    seen: Counter[tuple[str, str]] = Counter()
    for split, name, file in sorted(found):
        cut = split == "train" and "val" not in given and seen[split, name] % EACH == 0
        seen[split, name] += 1
        images["val" if cut else split].append(found[split, name, file])
        labels["val" if cut else split].append(classes.index(name))
    into.mkdir(parents=True, exist_ok=True)
    for name in SPLITS:
        np.save(into / f"{name}_images.npy", np.stack(images[name]))
        np.save(into / f"{name}_labels.npy", np.array(labels[name]))


def _contents(source: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    if source.is_dir():
        for file in source.rglob("*.*"):
            yield PurePosixPath(file), file.read_bytes()
        return
    with tarfile.open(source) as archive:
        for member in archive:
            if member.isfile() and (content := archive.extractfile(member)):
                yield PurePosixPath(member.name), content.read()
