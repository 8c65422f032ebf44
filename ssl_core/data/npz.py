"""Images that are arrays of one .npz, as MedMNIST (Yang et al., 2023, arXiv:2110.14795) publishes them.

`train_images` [N, H, W(, channels)] and `train_labels` [N] or [N, 1], `val_…` and `test_…` likewise; or `images` and
`labels` alone. Any of the labels may be missing.
"""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
    reading = Reading(examples=iter(()), count=sum(len(arrays[name]) for name in names))

    def examples() -> Iterator[tuple[str, Encoded]]:
        yield from _images(arrays, names)
        reading.sources.append(described(path, sha256(path)))

    reading.foreseen = lambda: [(place, content.place) for place, content in _images(arrays, names)]
    reading.examples = opening.ranged(examples(), config, lambda: _loading(arrays, names))
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
    if labels is not None and labels.size != len(images):
        raise Refused(f"{file}: {len(images)} {name} have labels {list(labels.shape)}; one label an image is read")


def _images(arrays: dict[str, np.ndarray], names: list[str]) -> Iterator[tuple[str, Encoded]]:
    for name in names:
        split, labels = name.removesuffix("images").rstrip("_"), arrays.get(name.replace("images", "labels"))
        said = None if labels is None else labels.reshape(-1)
        for i, image in enumerate(arrays[name]):
            place = Place(split, None if said is None else _class(said[i]))
            shown = image.astype(np.uint8) * 255 if image.dtype == bool else image
            yield f"{split}/{i:07}" if split else f"{i:07}", Encoded(shown, place=place)


def _loading(arrays: dict[str, np.ndarray], names: list[str]) -> Iterator[tuple[str, Callable[[], Encoded]]]:
    return ((place, lambda content=content: content) for place, content in _images(arrays, names))


def _class(label: np.generic) -> str:
    """The class's name: of numbers, whole ones as such."""
    value = label.item()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
