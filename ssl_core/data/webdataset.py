"""WebDataset shards: tars in which the files of a sample follow each other, `0.jpg` its image and `0.cls` its class."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ssl_core.data import archives, kinds, opening, pieces
from ssl_core.data.files import File, contents
from ssl_core.data.pieces import Piece
from ssl_core.data.source import Encoded, Reading, SourceConfig, described, sha256
from ssl_core.data.structure import Place
from ssl_core.errors import Refused

LABELS = {".cls", ".json", ".txt"}
LARGEST_LABEL = 2**24
"""Bytes that a file of a label has at most."""
BESIDE = "files of a sample beside its image and its class"
UNSAID = "files that say no label (`label:` is the key of one in a .json; a .txt is taken for a caption)"


@dataclass(frozen=True, kw_only=True)
class WebDatasetConfig(SourceConfig):
    """`path`: a shard, .tar(.gz), or a folder of them; `label`: the key of the label in a .json, if there is no .cls.

    A list is several labels, and numbers that are not all whole are numbers. Of several images of a sample that one is
    read which has nothing but its key for a name.

    A shard's split is what its name says beside numbers, `test-000000.tar`, or a folder that it lies in; where no name
    says one, all are one pool.
    """

    source: Literal["webdataset"]
    path: str
    label: str = "label"


@dataclass
class _Sample:
    """`images`: the names of all, of which `image` is one; `unsaid`: the files that could say a label, and do not."""

    key: str
    image: Encoded | None = None
    label: Any = None
    images: list[str] = field(default_factory=list)
    unsaid: list[str] = field(default_factory=list)


def read(config: WebDatasetConfig, raw: Path) -> Reading:
    """The samples of all shards. Raises `Refused` where there is none, or one is damaged, or a sample is unclear."""
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
    seen = set[str]()
    with archives.refusing_damage(shard.file):
        for sample in _samples(shard.file, config, reading, image):
            _check(sample, shard.file, config, reading)
            if sample.key in seen and sample.image is None:
                raise Refused(
                    f"{shard.file} has files of the sample {sample.key} apart from its image: those of one sample must "
                    "follow each other, so make the shard anew (`tar --sort=name`)"
                )
            seen.add(sample.key)
            if sample.image is None:
                reading.leave_out("samples without an image", f"{shard.name}/{sample.key}")
                continue
            place = Place.of(shard.split, sample.label, f"`{config.label}` of the sample {sample.key} in {shard.name}")
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
                _add_label(sample, place.name, opened.read(), config.label)
        elif kinds.called_image(place.name):
            sample.images.append(place.name)
            if sample.image is None or _is_plain(place.name):
                sample.image = image(file, reading)
        else:
            reading.leave_out(BESIDE, f"{shard.name}/{place}")
    if sample:
        yield sample


def _is_plain(name: str) -> bool:
    """Whether a file has nothing but its sample's key for a name: `0.jpg`, and not `0.depth.png`."""
    return name.count(".") == 1


def _check(sample: _Sample, shard: Path, config: WebDatasetConfig, reading: Reading) -> None:
    """Leave out what a sample has besides. Raises `Refused` where it is not known which of its images is meant."""
    meant = [name for name in sample.images if _is_plain(name)] or sample.images
    if len(meant) > 1:
        raise Refused(
            f"{shard} has {' and '.join(meant[:2])}, both images of the sample {sample.key}, as a key ends at the "
            "first dot: one image a sample is read, so leave one out or call the one that is meant by the key alone, "
            "and have no dots in keys"
        )
    beside = PurePosixPath(shard.name, sample.key).parent
    for name in sample.images:
        if name not in meant:
            reading.leave_out(BESIDE, f"{beside}/{name}")
    if sample.label is None and config.labels != "none":
        for name in sample.unsaid:
            reading.leave_out(UNSAID, f"{beside}/{name}")


def _add_label(sample: _Sample, name: str, content: bytes, key: str) -> None:
    """Have in a sample what one of its files says of the label: a .cls before a .json; a .txt is a caption."""
    text, kind = content.decode(errors="replace").strip(), kinds.suffix(name)
    if kind == ".cls":
        sample.label = text or sample.label
        return
    said: Any = None
    if kind == ".json":
        try:
            said = json.loads(text)
        except ValueError:
            name += " (no JSON)"
    if isinstance(said, dict):
        name += f" ({', '.join(said)})"
        said = said.get(key)
        if sample.label is None and said is not None:
            sample.label = said
    sample.unsaid.append(name)


def _again(
    shards: list[Piece], config: WebDatasetConfig, image: Callable[[File, Reading], Encoded | None] = _read
) -> Iterator[tuple[str, Encoded]]:
    """The images of all shards, of which nothing is noted."""
    unseen = Reading(examples=iter(()))
    for shard in shards:
        yield from _images(shard, config, unseen, image)


def _loading(shards: list[Piece], config: WebDatasetConfig) -> Iterator[tuple[str, Callable[[], Encoded]]]:
    return ((sample, lambda content=content: content) for sample, content in _again(shards, config))
