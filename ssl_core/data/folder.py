"""A user's own images: a tree of folders, or an archive of one, read file by file without unpacking."""

import hashlib
import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from ssl_core.data import archives, kinds, opening, remarks, table, tree
from ssl_core.data.decode import decode, explained
from ssl_core.data.files import File, contents, looks_like_image
from ssl_core.data.layout import Folder
from ssl_core.data.source import Content, Encoded, Reading, SourceConfig, described, sha256
from ssl_core.errors import Refused

PEEKED = 20


@dataclass(frozen=True, kw_only=True)
class FolderConfig(SourceConfig):
    """`path`: class folders or a flat folder, with or without train, val, test above; or a .tar(.gz, .xz), .zip."""

    source: Literal["folder"]
    path: str


def read(config: FolderConfig, raw: Path) -> Reading:
    """Every file that is an image or is called one. Raises `Refused` where nothing is, or an archive is unsafe."""
    path = Path(config.path).expanduser()
    if not path.exists():
        raise Refused(f"path is {config.path}, and nothing is there: give a folder of images, or an archive of one")
    if not path.is_dir():
        archives.is_zip(path)
    reading = Reading(examples=iter(()))
    reading.examples = opening.ranged(_examples(path, reading), config, partial(_loading, path))
    if path.is_dir() or archives.has_index(path):
        reading.foreseen = lambda: [(name, None) for name in _names(path, reading.tables)]
    return reading


def folders(path: Path) -> list[Folder]:
    """The folders, in the order of `read`, that hold an image: by these alone `prepare` reads splits and classes.

    Of each folder, files are decoded until one is an image. Raises `Refused` as `read` does.
    """
    found: dict[Folder, None] = {}
    unseen = Reading(examples=iter(()))
    with archives.refusing_damage(path):
        for file in _files(path, unseen):
            places = {PurePosixPath(name).parts[:-1] for name in file.names} - found.keys()
            if places and any(_original_size(content) for _, content in contents(file, unseen)):
                found.update(dict.fromkeys(places))
    return list(found)


def peek(path: str | Path) -> int:
    """The image size to suggest for a user's folder or archive, from its first 20 images; nothing is unpacked.

    Their median shorter side, rounded down to a multiple of 4, as a transformer's patches of 4 pixels must fill it; not
    below 16, of which a residual network makes 2 x 2 positions, and not above 64, so that a first comparison is one
    that a CPU can make. Raises `Refused` as `read` does, and where no file is an image.
    """
    reading = read(FolderConfig(source="folder", path=str(path), range=(0, 255)), Path())
    sides = list(itertools.islice(_shorter_sides(reading.examples), PEEKED))
    if not sides:
        why = "; ".join([*_troubles(path), *remarks.left_out(reading)])
        raise Refused(
            f"path is {path}, which holds no image that can be read: give a folder of images{why and f' ({why})'}"
        )
    return max(16, min(64, int(statistics.median(sides)) // 4 * 4))


def _troubles(path: str | Path) -> Iterator[str]:
    """Why the first file is none that is called an image."""
    for name, content in read(FolderConfig(source="folder", path=str(path), range=(0, 255)), Path()).examples:
        try:
            decode(content, 8, SourceConfig())
        except Exception as error:  # whatever a damaged file makes Pillow raise
            yield f"{name}: {explained(error)}"
        return


def _shorter_sides(examples: Iterator[tuple[str, Content]]) -> Iterator[int]:
    for _, content in examples:
        if original := _original_size(content):
            yield min(original)


def _original_size(content: Content) -> tuple[int, int] | None:
    """Width and height in pixels; None of what is no image."""
    try:
        return decode(content, 8, SourceConfig()).original
    except Exception:  # whatever a damaged file makes Pillow raise, it is none
        return None


def _files(path: Path, reading: Reading) -> Iterator[File]:
    return tree.files(path, reading) if path.is_dir() else archives.files(path, reading)


def _examples(path: Path, reading: Reading) -> Iterator[tuple[str, Encoded]]:
    digest, size = hashlib.sha256(), 0
    with archives.refusing_damage(path):
        for file in _files(path, reading):
            for name, content in contents(file, reading):
                assert isinstance(content.content, bytes)
                if path.is_dir():
                    digest.update(name.encode() + b"\0" + content.content)
                    size += len(content.content)
                yield name, content
    if path.is_dir():
        reading.sources.append({"file": path.name, "bytes": size, "sha256": digest.hexdigest()})
    else:
        reading.sources.append(described(path, sha256(path)))


def _names(path: Path, tables: dict[str, bytes]) -> list[str]:
    """The names of the files that will be read as images, in folders of which one at least begins like one.

    Where none does, all of them: then the names are what can be told. Tables that are known by their name are put into
    `tables`.
    """
    unseen = Reading(examples=iter(()), tables=tables)
    found: list[str] = []
    sound = set[str]()
    with archives.refusing_damage(path):
        for file in _files(path, unseen):
            called = kinds.called_image(file.names[0])
            if not called and kinds.no_image(file.names[0], b"") != kinds.OTHER:
                if any(map(table.is_known, file.names)):
                    list(contents(file, unseen))
                continue
            parents = {_parent(name) for name in file.names}
            if not called or not parents <= sound:
                looks = looks_like_image(file)
                sound |= parents if looks else set()
                if not called and not looks:
                    continue
            found += file.names
    return [name for name in found if _parent(name) in sound] or found


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _loading(path: Path) -> Iterator[tuple[str, Callable[[], Encoded | None]]]:
    """Each file's first name, and what loads it."""
    unseen = Reading(examples=iter(()))
    for file in _files(path, unseen):
        yield file.names[0], lambda file=file: next((content for _, content in contents(file, unseen)), None)
