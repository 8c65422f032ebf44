"""WebDataset shards: tars in which the files of a sample follow each other, `0.jpg` its image and `0.cls` its class."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from ssl_core.data import archives, kinds, opening, spellings, table_cells
from ssl_core.data.files import contents
from ssl_core.data.source import Encoded, Reading, SourceConfig, described, sha256
from ssl_core.data.structure import Label, Place
from ssl_core.errors import Refused

LABELS = {".cls", ".json", ".txt"}
LARGEST_LABEL = 2**24
"""Bytes that a file of a label has at most."""
Piece = tuple[Path, PurePosixPath, str]
"""A shard, its path below the folder of all, and its split."""


@dataclass(frozen=True, kw_only=True)
class WebDatasetConfig(SourceConfig):
    """`path`: a shard, or a folder of them; `label`: the key of the class in a sample's .json, if there is no .cls;
    a list is several labels, and a number with a point is one.

    A shard's split is what its name says beside numbers, `test-000000.tar`, or a folder that it lies in; where no name
    says one, all are one pool.
    """

    source: Literal["webdataset"]
    path: str
    label: str = "label"


@dataclass
class _Sample:
    key: str
    image: Encoded | None = None
    label: Label = None


def read(config: WebDatasetConfig, raw: Path) -> Reading:
    """The samples of all shards. Raises `Refused` where there is none, or one is damaged."""
    path = Path(config.path).expanduser()
    shards = sorted(path.rglob("*.tar")) if path.is_dir() else [path]
    if not shards or not path.exists():
        raise Refused(f"path is {config.path}, and no .tar is there: give a shard, or a folder of them")
    reading = Reading(examples=iter(()))
    names = [PurePosixPath(shard.relative_to(path if path.is_dir() else path.parent)) for shard in shards]
    pieces = list(zip(shards, names, spellings.splits_of_files(names), strict=True))

    def examples() -> Iterator[tuple[str, Encoded]]:
        for shard, name, split in pieces:
            yield from _images(shard, name, split, config, reading)
            reading.sources.append(described(shard, sha256(shard)))

    reading.foreseen = lambda: [(sample, content.place) for sample, content in _again(pieces, config)]
    reading.examples = opening.ranged(examples(), config, lambda: _loading(pieces, config))
    return reading


def _images(
    shard: Path, name: PurePosixPath, split: str, config: WebDatasetConfig, reading: Reading
) -> Iterator[tuple[str, Encoded]]:
    with archives.refusing_damage(shard):
        for sample in _samples(shard, config, reading):
            if sample.image is None:
                reading.leave_out("samples without an image", f"{shard.name}/{sample.key}")
                continue
            yield f"{name.with_suffix('')}/{sample.key}", replace(sample.image, place=Place.of(split, sample.label))
    reading.folders.clear()  # these are of one shard, and no folders of the images


def _samples(shard: Path, config: WebDatasetConfig, reading: Reading) -> Iterator[_Sample]:
    sample = None
    for file in archives.files(shard, reading):
        place = PurePosixPath(file.names[0])
        stem, _, _ = place.name.partition(".")
        key = str(place.with_name(stem))
        if sample is None or sample.key != key:
            if sample:
                yield sample
            sample = _Sample(key)
        if kinds.suffix(place.name) in LABELS and file.size < LARGEST_LABEL:
            with file.open() as opened:
                found = _label(place.name, opened.read(), config)
                sample.label = sample.label if found is None else found
        elif kinds.called_image(place.name) and sample.image is None:
            sample.image = next((content for _, content in contents(file, reading)), None)
        else:
            reading.leave_out("files of a sample beside its first image and its class", f"{shard.name}/{place}")
    if sample:
        yield sample


def _label(name: str, content: bytes, config: WebDatasetConfig) -> Label:
    """What a file of a sample says of it; a .txt is a caption, and says nothing."""
    if name.endswith(".txt"):
        return None
    text = content.decode(errors="replace").strip()
    if not name.endswith(".json"):
        return text or None
    try:
        found = json.loads(text).get(config.label)
    except (ValueError, AttributeError):
        return None
    if isinstance(found, list):
        return tuple(sorted({str(one) for one in found}))
    return found if isinstance(found, float) and math.isfinite(found) else table_cells.class_name(found)


def _again(pieces: list[Piece], config: WebDatasetConfig) -> Iterator[tuple[str, Encoded]]:
    """The images of all shards, of which nothing is noted."""
    unseen = Reading(examples=iter(()))
    for shard, name, split in pieces:
        yield from _images(shard, name, split, config, unseen)


def _loading(pieces: list[Piece], config: WebDatasetConfig) -> Iterator[tuple[str, Callable[[], Encoded]]]:
    return ((sample, lambda content=content: content) for sample, content in _again(pieces, config))
