"""Images that are arrays of one .npz, as MedMNIST (Yang et al., 2023, arXiv:2110.14795) publishes them.

`train_images` [N, H, W(, channels)] and `train_labels` [N] or [N, 1], `val_…` and `test_…` likewise; or `images` and
`labels` alone. Any of the labels may be missing. Labels that are not all whole are numbers. Labels [N, L] of 0 and 1
are several an image, as ChestMNIST's, or its class where every row has one 1.
"""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_core.data import opening
from ssl_core.data.source import Encoded, Reading, SourceConfig, described, sha256
from ssl_core.data.spellings import EVERY
from ssl_core.data.structure import Place
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
    labels = {name: None if config.labels == "none" else _labels(path.name, arrays, name) for name in names}
    reading = Reading(examples=iter(()), count=sum(len(arrays[name]) for name in names))

    def examples() -> Iterator[tuple[str, Encoded]]:
        yield from _images(arrays, labels)
        reading.sources.append(described(path, sha256(path)))

    reading.foreseen = lambda: [(place, content.place) for place, content in _images(arrays, labels)]
    reading.examples = opening.ranged(examples(), config, lambda: _loading(arrays, labels))
    return reading


def _opened(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise Refused(f"{path.name} cannot be read as an .npz of arrays ({error})") from None


def _check(file: str, arrays: dict[str, np.ndarray], name: str) -> None:
    images = arrays[name]
    if images.ndim not in (3, 4) or images.dtype.kind not in "uifb":
        raise Refused(f"{file}: {name} is {images.dtype} {list(images.shape)}; numbers [N, H, W(, channels)] are read")


def _labels(file: str, arrays: dict[str, np.ndarray], name: str) -> list[Any] | None:
    """Those of some images: texts, numbers, or lists of 0 and 1."""
    images, labels = arrays[name], arrays.get(name.replace("images", "labels"))
    if labels is None:
        return None
    if labels.size == len(images):
        return labels.reshape(-1).tolist()
    if labels.ndim != 2 or len(labels) != len(images) or not np.isin(labels, (0, 1)).all():
        raise Refused(
            f"{file}: {len(images)} {name} have labels {list(labels.shape)}; one class or number an image is read, and "
            "of several labels a column each, 1 where an image has it and 0 where not"
        )
    return labels.tolist()


def _images(arrays: dict[str, np.ndarray], labels: dict[str, list[Any] | None]) -> Iterator[tuple[str, Encoded]]:
    for name, said in labels.items():
        split = name.removesuffix("images").rstrip("_")
        for i, image in enumerate(arrays[name]):
            place = Place.of(split, None if said is None else said[i])
            shown = image.astype(np.uint8) * 255 if image.dtype == bool else image
            yield f"{split}/{i:07}" if split else f"{i:07}", Encoded(shown, place=place)


def _loading(
    arrays: dict[str, np.ndarray], labels: dict[str, list[Any] | None]
) -> Iterator[tuple[str, Callable[[], Encoded]]]:
    return ((place, lambda content=content: content) for place, content in _images(arrays, labels))
