"""Images that are arrays of one .npz, as MedMNIST (Yang et al., 2023, arXiv:2110.14795) publishes them.

`train_images` [N, H, W(, channels)] and `train_labels` [N] or [N, 1], `val_…` and `test_…` likewise; or `images` and
`labels` alone. Any of the labels may be missing. Labels that are not all whole are numbers. Labels [N, L] of 0 and 1
are several an image, as ChestMNIST's, or its class where every row has one 1.
"""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ssl_core.data import opening, table_cells
from ssl_core.data.source import Encoded, Reading, SourceConfig, described, sha256
from ssl_core.data.spellings import EVERY
from ssl_core.data.structure import Label, Place
from ssl_core.errors import Refused


@dataclass(frozen=True, kw_only=True)
class NpzConfig(SourceConfig):
    """`path`: the .npz. Its splits are kept; images of a split without labels have none."""

    source: Literal["npz"]
    path: str


def read(config: NpzConfig, raw: Path) -> Reading:
    """The images of every split. Raises `Refused` where the file is none, or its arrays have other names or forms."""
    path = Path(config.path).expanduser()
    if not path.is_file():
        raise Refused(f"path is {config.path}, and no file is there: give an .npz")
    arrays = _opened(path)
    names = [name for name in (*(f"{split}_images" for split in EVERY), "images") if name in arrays]
    if not names:
        raise Refused(
            f"{path.name} has the arrays {', '.join(arrays)}: train_images, val_images and test_images are read"
        )
    for name in names:
        _check(path.name, arrays, name)
    images, labels = {name: arrays[name] for name in names}, _labels(path.name, arrays, names)
    reading = Reading(examples=iter(()), count=sum(map(len, images.values())))

    def examples() -> Iterator[tuple[str, Encoded]]:
        yield from _images(images, labels)
        reading.sources.append(described(path, sha256(path)))

    reading.foreseen = lambda: [(place, content.place) for place, content in _images(images, labels)]
    reading.examples = opening.ranged(examples(), config, lambda: _loading(images, labels))
    return reading


def _opened(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise Refused(f"{path.name} cannot be read as an .npz of arrays ({error})") from None


def _check(file: str, arrays: dict[str, np.ndarray], name: str) -> None:
    images, labels = arrays[name], arrays.get(name.replace("images", "labels"))
    if images.ndim not in (3, 4) or images.dtype.kind not in "uifb":
        raise Refused(f"{file}: {name} is {images.dtype} {list(images.shape)}; numbers [N, H, W(, channels)] are read")
    if labels is None:
        return
    if labels.ndim not in (1, 2) or len(labels) != len(images) or labels.size < len(labels):
        raise Refused(
            f"{file}: {len(images)} {name} have labels {list(labels.shape)}; a row of labels an image is read"
        )
    if _several(labels) and not np.isin(labels, (0, 1)).all():
        raise Refused(
            f"{file}: the labels of {name} are {list(labels.shape)}, and not all 0 or 1: one class or one number an "
            "image is read, and of several labels a column each, 1 where an image has it and 0 where not"
        )


def _several(labels: np.ndarray) -> bool:
    return labels.ndim == 2 and labels.shape[1] > 1


def _labels(file: str, arrays: dict[str, np.ndarray], names: list[str]) -> dict[str, list[Label]]:
    """What each image of some arrays has, by the array's name."""
    labels = {name: arrays[label] for name in names if (label := name.replace("images", "labels")) in arrays}
    widths = {array.shape[1] if _several(array) else 1 for array in labels.values()}
    if len(widths) > 1:
        raise Refused(f"{file}: labels have {' and '.join(map(str, sorted(widths)))} columns; all splits need as many")
    if widths - {1}:
        one = all((array.sum(axis=1) == 1).all() for array in labels.values())
        return {name: _classes(array.argmax(axis=1)) if one else _marked(array) for name, array in labels.items()}
    columns = {name: array.reshape(-1) for name, array in labels.items()}
    read = _numbers if any(_fractions(column) for column in columns.values()) else _classes
    return {name: read(column) for name, column in columns.items()}


def _fractions(column: np.ndarray) -> bool:
    return column.dtype.kind == "f" and bool((column[np.isfinite(column)] % 1 != 0).any())


def _classes(column: np.ndarray) -> list[Label]:
    return [table_cells.class_name(value) for value in column.tolist()]


def _numbers(column: np.ndarray) -> list[Label]:
    return [float(value) if np.isfinite(value) else None for value in column]


def _marked(labels: np.ndarray) -> list[Label]:
    """The numbers of the columns with a 1, of one length, so that their order as text is theirs."""
    width = len(str(labels.shape[1] - 1))
    return [tuple(f"{i:0{width}}" for i in np.flatnonzero(row)) for row in labels]


def _images(arrays: dict[str, np.ndarray], labels: dict[str, list[Label]]) -> Iterator[tuple[str, Encoded]]:
    for name in arrays:
        split, said = name.removesuffix("images").rstrip("_"), labels.get(name)
        for i, image in enumerate(arrays[name]):
            place = Place.of(split, said[i] if said else None)
            shown = image.astype(np.uint8) * 255 if image.dtype == bool else image
            yield f"{split}/{i:07}" if split else f"{i:07}", Encoded(shown, place=place)


def _loading(
    arrays: dict[str, np.ndarray], labels: dict[str, list[Label]]
) -> Iterator[tuple[str, Callable[[], Encoded]]]:
    return ((place, lambda content=content: content) for place, content in _images(arrays, labels))
