"""WebDataset shards: tars in which the files of a sample follow each other, `0.jpg` its image and `0.cls` its class."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ssl_core.data import archives, kinds, opening, pieces
from ssl_core.data.files import File, contents
from ssl_core.data.pieces import Piece
from ssl_core.data.source import Encoded, Reading, SourceConfig, described, sha256
from ssl_core.data.structure import Place

LABELS = {".cls", ".json", ".txt"}
LARGEST_LABEL = 2**24
"""Bytes that a file of a label has at most."""


@dataclass(frozen=True, kw_only=True)
class WebDatasetConfig(SourceConfig):
    """`path`: a shard, .tar(.gz), or a folder of them; `label`: the key of the label in a .json, if there is no .cls.

    A list is several labels, and numbers that are not all whole are numbers.

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
    label: Any = None


def read(config: WebDatasetConfig, raw: Path) -> Reading:
    """The samples of all shards. Raises `Refused` where there is none, or one is damaged."""
    shards = pieces.found(config.path, ".tar", ".tar.gz", ".tgz")
    reading = Reading(examples=iter(()))

    def examples() -> Iterator[tuple[str, Encoded]]:
        for shard in shards:
            yield from _images(shard, config, reading)
            reading.sources.append(described(shard.file, sha256(shard.file)))

    reading.foreseen = lambda: [(sample, content.place) for sample, content in _again(shards, config, _unread)]
    reading.examples = opening.ranged(examples(), config, lambda: _loading(shards, config))
    return reading


def _read(file: File, reading: Reading) -> Encoded | None:
    return next((content for _, content in contents(file, reading)), None)


def _unread(file: File, reading: Reading) -> Encoded | None:
    """An image of which its name and its place are asked alone: a tar's reader goes past it."""
    return Encoded(b"", file.names[0])


def _images(
    shard: Piece,
    config: WebDatasetConfig,
    reading: Reading,
    image: Callable[[File, Reading], Encoded | None] = _read,
) -> Iterator[tuple[str, Encoded]]:
    with archives.refusing_damage(shard.file):
        for sample in _samples(shard.file, config, reading, image):
            if sample.image is None:
                reading.leave_out("samples without an image", f"{shard.name}/{sample.key}")
                continue
            place = Place.of(shard.split, sample.label)
            yield f"{shard.name.with_suffix('')}/{sample.key}", replace(sample.image, place=place)
    reading.folders.clear()  # these are of one shard, and no folders of the images


def _samples(
    shard: Path, config: WebDatasetConfig, reading: Reading, image: Callable[[File, Reading], Encoded | None]
) -> Iterator[_Sample]:
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
                sample.label = _label(place.name, opened.read(), config, sample.label)
        elif kinds.called_image(place.name) and sample.image is None:
            sample.image = image(file, reading)
        else:
            reading.leave_out("files of a sample beside its first image and its class", f"{shard.name}/{place}")
    if sample:
        yield sample


def _label(name: str, content: bytes, config: WebDatasetConfig, said: Any) -> Any:
    """What a sample's files say of it, with this one; `said` by those before. A .txt is a caption, and says nothing."""
    text = content.decode(errors="replace").strip()
    if name.endswith(".cls"):
        return text or said
    if name.endswith(".txt") or said is not None:
        return said
    try:
        return json.loads(text).get(config.label)
    except (ValueError, AttributeError):
        return None


def _again(
    shards: list[Piece], config: WebDatasetConfig, image: Callable[[File, Reading], Encoded | None] = _read
) -> Iterator[tuple[str, Encoded]]:
    """The images of all shards, of which nothing is noted."""
    unseen = Reading(examples=iter(()))
    for shard in shards:
        yield from _images(shard, config, unseen, image)


def _loading(shards: list[Piece], config: WebDatasetConfig) -> Iterator[tuple[str, Callable[[], Encoded]]]:
    return ((sample, lambda content=content: content) for sample, content in _again(shards, config))
