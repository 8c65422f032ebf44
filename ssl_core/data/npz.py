"""Images that are arrays of one .npz, as MedMNIST (Yang et al., 2023, arXiv:2110.14795) publishes them.

`train_images` [N, H, W(, channels)] or [N, channels, H, W] and `train_labels` [N] or [N, 1], `val_…` and `test_…`
likewise, as any name of a split; or `images` and `labels` alone. Any of the labels may be missing. Labels that are not
all whole are numbers. Labels [N, L] of 0 and 1 are several an image, as ChestMNIST's, or its class where every row has
one 1.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from ssl_core.data import kinds, opening
from ssl_core.data.source import Encoded, Reading, SourceConfig, described, sha256
from ssl_core.data.spellings import EVERY, some, split_of
from ssl_core.data.structure import Place
from ssl_core.errors import Refused


@dataclass(frozen=True, kw_only=True)
class NpzConfig(SourceConfig):
    """`path`: the .npz. Its splits are kept; images of a split without labels have none."""

    source: Literal["npz"]
    path: str


_Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
"""The shape of an array, whether columns follow each other in place of rows, and its type."""


@dataclass(frozen=True)
class _Images:
    """An array of images of the file: [N, H, W(, channels)], or [N, channels, H, W] where `first`; and their labels."""

    name: str
    split: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    first: bool
    labels: list[Any] | None

    def places(self) -> Iterator[tuple[str, Place]]:
        """The path and place of each."""
        above = self.name.removesuffix("images").rstrip("_")
        for i in range(self.shape[0]):
            place = Place.of(self.split, None if self.labels is None else self.labels[i])
            yield f"{above}/{i:07}" if above else f"{i:07}", place

    def read(self, path: Path) -> Iterator[tuple[str, Encoded]]:
        """Each, one after the other: only one is in memory."""
        with _refusing_damage(path):
            for (place, said), image in zip(self.places(), _rows(path, self.name), strict=True):
                shown = image.astype(np.uint8) * 255 if image.dtype == bool else image
                yield place, Encoded(np.moveaxis(shown, 0, -1) if self.first else shown, place=said)


def read(config: NpzConfig, raw: Path) -> Reading:
    """The images of every split. Raises `Refused` where the file is none, or its arrays have other names or forms."""
    path = Path(config.path).expanduser()
    if not path.is_file():
        raise Refused(f"path is {config.path}, and no file is there: give an .npz")
    _refuse_others(path)
    reading = Reading(examples=iter(()))
    with _refusing_damage(path), zipfile.ZipFile(path) as archive:
        arrays = {
            name.removesuffix(".npy"): _header(archive, name) for name in archive.namelist() if name.endswith(".npy")
        }
        found = [_images(archive, arrays, name, config, reading) for name in _named(path, arrays)]
    read = {one.name for one in found} | {_labels_name(arrays, one.name) for one in found}
    unread = [name for name in arrays if name not in read]
    for name in unread:
        reading.leave_out("arrays that are not called train_images, train_labels or the like", name)
    for one in found if config.labels != "none" else ():
        like = [name for name in unread if arrays[name][0][:1] == one.shape[:1] and len(arrays[name][0]) < 3]
        if like and one.labels is None:
            wanted = one.name.removesuffix("images") + "labels"
            reading.remarks.append(f"{one.name} have no labels; {some(like)} has as many rows: call it {wanted}")
    reading.count = sum(one.shape[0] for one in found)

    def again() -> Iterator[tuple[str, Encoded]]:
        return (example for one in found for example in one.read(path))

    def examples() -> Iterator[tuple[str, Encoded]]:
        yield from again()
        reading.sources.append(described(path, sha256(path)))

    reading.foreseen = lambda: [place for one in found for place in one.places()]
    reading.examples = opening.ranged(
        examples(), config, lambda: ((place, lambda content=content: content) for place, content in again())
    )
    return reading


def _refuse_others(path: Path) -> None:
    with path.open("rb") as opened:
        head = opened.read(kinds.HEAD)
    if not head.startswith(b"PK"):
        one = head.startswith(b"\x93NUMPY") and "it holds one array: np.savez puts images and labels into one file"
        raise Refused(f"{path.name} is no .npz: {one or kinds.in_its_place(head) or 'no archive of arrays'}")


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except Refused:
        raise
    except (ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise Refused(f"{path.name} cannot be read as an .npz of arrays ({error}): fetch or make it again") from None


def _named(path: Path, arrays: Mapping[str, _Header]) -> list[str]:
    """Those of images, in the order of the splits."""
    splits = {name: _split(name) for name in arrays}
    names = [name for split in (*EVERY, "") for name, said in splits.items() if said == split]
    if not names:
        raise Refused(
            f"{path.name} has the arrays {', '.join(arrays)}: train_images, val_images and test_images are read"
        )
    return names


def _split(name: str) -> str | None:
    """That of an array of images: "" of `images` alone, None of one that is no array of a split's images."""
    above = name.removesuffix("images")
    return None if above == name else split_of(above) if above else ""


def _header(archive: zipfile.ZipFile, member: str) -> _Header:
    with archive.open(member) as opened:
        return _read_header(opened)


def _read_header(opened: IO[bytes]) -> _Header:
    if np.lib.format.read_magic(opened) == (1, 0):
        return np.lib.format.read_array_header_1_0(opened)
    return np.lib.format.read_array_header_2_0(opened)


def _rows(path: Path, name: str) -> Iterator[np.ndarray]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as opened:
        shape, columns, dtype = _read_header(opened)
        if columns:  # not one image after the other
            yield from _array(archive, name)
            return
        size = dtype.itemsize * math.prod(shape[1:])
        for _ in range(shape[0]):
            yield np.frombuffer(opened.read(size), dtype).reshape(shape[1:])


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as opened:
        return np.lib.format.read_array(opened, allow_pickle=False)


def _images(
    archive: zipfile.ZipFile, arrays: Mapping[str, _Header], name: str, config: NpzConfig, reading: Reading
) -> _Images:
    """What is known of an array before its images are read. Raises `Refused` where it holds none."""
    shape, _, dtype = arrays[name]
    file = Path(config.path).name
    if len(shape) not in (3, 4) or dtype.kind not in "uifb":
        raise Refused(f"{file}: {name} is {dtype} {list(shape)}; numbers [N, H, W(, channels)] are read")
    first = len(shape) == 4 and shape[1] in (1, 3, 4) and shape[3] > 4
    if first:
        reading.remarks.append(f"{name} is {list(shape)}: the {shape[1]} are taken for channels")
    labels = None if config.labels == "none" else _labels(file, archive, arrays, name)
    return _Images(name, _split(name) or "", shape, dtype, first, labels)


def _labels_name(arrays: Mapping[str, _Header], name: str) -> str | None:
    return next((one for end in ("labels", "label") if (one := name.removesuffix("images") + end) in arrays), None)


def _labels(file: str, archive: zipfile.ZipFile, arrays: Mapping[str, _Header], images: str) -> list[Any] | None:
    """Those of some images: texts, numbers, or lists of 0 and 1."""
    count = arrays[images][0][0]
    name = _labels_name(arrays, images)
    if name is None:
        return None
    if arrays[name][2].hasobject:
        raise Refused(f"{file}: {name} holds Python objects, which are not read: save {name}.astype(str) instead")
    labels = _array(archive, name)
    if labels.size == count:
        return labels.reshape(-1).tolist()
    if labels.ndim != 2 or len(labels) != count or not np.isin(labels, (0, 1)).all():
        raise Refused(
            f"{file}: {count} {images} have labels {list(labels.shape)}; one class or number an image is read, and "
            "of several labels a column each, 1 where an image has it and 0 where not"
        )
    return labels.tolist()
