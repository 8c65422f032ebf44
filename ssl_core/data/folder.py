"""A user's own images: a tree of folders, or an archive of one, read file by file without unpacking."""

import hashlib
import itertools
import os
import statistics
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from ssl_core.data.decode import decode
from ssl_core.data.layout import Folder
from ssl_core.data.source import Reading, SourceConfig, described
from ssl_core.errors import Refused

PEEKED = 20
IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}


@dataclass(frozen=True, kw_only=True)
class FolderConfig(SourceConfig):
    """`path`: class folders or a flat folder, with or without train, val, test above; or a .tar(.gz, .xz), .zip."""

    source: Literal["folder"]
    path: str


def read(config: FolderConfig, raw: Path) -> Reading:
    """Every file but hidden ones, in a fixed order. Raises `Refused` where nothing is, or an archive is unsafe."""
    path = Path(config.path).expanduser()
    if not path.exists():
        raise Refused(f"path is {config.path}, and nothing is there: give a folder of images, or an archive of one")
    if path.is_dir():
        return _read_tree(path)
    try:
        if not zipfile.is_zipfile(path):
            tarfile.open(path).close()
    except tarfile.TarError:
        raise Refused(f"path is {config.path}, which is no folder, .tar(.gz, .xz, .bz2) or .zip") from None
    return _read_archive(path)


def folders(path: Path) -> list[Folder]:
    """The folders, in the order of `read`, that hold an image: by these alone `prepare` reads splits and classes.

    Of each folder, files are decoded until one is an image. Raises `Refused` as `read` does.
    """
    found: dict[Folder, None] = {}
    with _refusing_damage(path):
        for name, content in _contents(path):
            folder = PurePosixPath(name).parts[:-1]
            if folder not in found and _original_size(content()):
                found[folder] = None
    return list(found)


def _contents(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The paths that `read` gives, in its order, and what reads the content of each."""
    if path.is_dir():
        return ((name, (path / name).read_bytes) for name in _files(path))
    return _zip_members(path) if zipfile.is_zipfile(path) else _tar_members(path)


def _original_size(content: bytes | np.ndarray) -> tuple[int, int] | None:
    """Width and height in pixels; None of what is no image."""
    try:
        return decode(content, 8)[1]
    except Exception:  # whatever a damaged file makes Pillow raise, it is none
        return None


def peek(path: str | Path) -> int:
    """The image size to suggest for a user's folder or archive, from its first 20 images; nothing is unpacked.

    Their median shorter side, rounded down to a multiple of 4, as a transformer's patches of 4 pixels must fill it; not
    below 16, of which a residual network makes 2 x 2 positions, and not above 64, so that a first comparison is one
    that a CPU can make. Raises `Refused` as `read` does, and where no file is an image.
    """
    reading = read(FolderConfig(source="folder", path=str(path)), Path())
    sides = list(itertools.islice(_shorter_sides(reading.examples), PEEKED))
    if not sides:
        raise Refused(f"path is {path}, which holds no image that can be read: give a folder of images")
    return max(16, min(64, int(statistics.median(sides)) // 4 * 4))


def _shorter_sides(examples: Iterator[tuple[str, bytes | np.ndarray]]) -> Iterator[int]:
    for _, content in examples:
        if original := _original_size(content):
            yield min(original)


def _files(root: Path) -> list[str]:
    """The paths below `root` of its files, sorted: texts, of which ten million are no more than 1 GB of memory."""
    found = []
    for folder, _, files in os.walk(root):
        below = os.path.relpath(folder, root)
        paths = [PurePosixPath(below, file).as_posix() for file in files]
        found += [path for path in paths if _meant(path) and (root / path).is_file()]
    return sorted(found)


def _read_tree(root: Path) -> Reading:
    files = _files(root)
    reading = Reading(examples=iter(()), count=len(files))

    def examples() -> Iterator[tuple[str, bytes]]:
        digest, size = hashlib.sha256(), 0
        for name in files:
            content = (root / name).read_bytes()
            digest.update(name.encode() + b"\0" + content)
            size += len(content)
            yield name, content
        reading.sources.append({"file": root.name, "bytes": size, "sha256": digest.hexdigest()})

    reading.examples = examples()
    return reading


def _read_archive(path: Path) -> Reading:
    reading = Reading(examples=iter(()))

    def examples() -> Iterator[tuple[str, bytes]]:
        with _refusing_damage(path):
            yield from ((name, content()) for name, content in _contents(path))
        with path.open("rb") as opened:
            reading.sources.append(described(path, hashlib.file_digest(opened, "sha256").hexdigest()))

    reading.examples = examples()
    return reading


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise Refused(f"the archive {path.name} is damaged ({error}): fetch or make it again") from None
    except RuntimeError as error:
        raise Refused(f"the archive {path.name} cannot be read: {error}") from None


def _tar_members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with tarfile.open(path) as archive:
        for member in archive:
            _refuse_outside(member.name, path)
            if member.issym() or member.islnk():
                base = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
                _refuse_outside((base / member.linkname).as_posix(), path)
            content = archive.extractfile(member) if member.isfile() and _meant(member.name) else None
            if content is not None:
                yield member.name, content.read
        # A compressed archive that was cut off says so only when it is read to its end.
        while archive.fileobj is not None and archive.fileobj.read(2**20):
            pass


def _zip_members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with zipfile.ZipFile(path) as archive:
        listed = sorted(archive.infolist(), key=lambda member: member.filename)
        for member in listed:
            _refuse_outside(member.filename, path)
        for member in listed:
            if not member.is_dir() and _meant(member.filename):
                yield member.filename, partial(archive.read, member)


def _meant(name: str) -> bool:
    """Whether a file is one of the user's, not a system's leftovers."""
    return not any(part.startswith(".") or part.lower() in IGNORED for part in PurePosixPath(name).parts if part != ".")


def _refuse_outside(name: str, path: Path) -> None:
    depth = 0
    for part in PurePosixPath(name.replace("\\", "/")).parts:
        depth += -1 if part == ".." else 0 if part == "." else 1
        if depth < 0 or part == "/" or part[1:2] == ":":
            raise Refused(f"the archive {path.name} has a path that leaves its folder, '{name}': it is not read")
