"""The files below a folder, through links, however many: only their names are in memory."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ssl_core.data import kinds, names
from ssl_core.data.files import CLOSED, GONE, File, meant, shown
from ssl_core.data.names import printable
from ssl_core.data.source import Reading


def files(root: Path, reading: Reading) -> Iterator[File]:
    """Every file below `root`, sorted by path; links are followed, but not back into a folder around them.

    What is none (a broken link, a pipe, a folder that may not be read) is left out of the reading by name, and its
    `folders` and `count` are filled in at the first file. Where most have backslashes, these part folders.
    """
    paths = sorted(_below(root, reading))
    reading.count = len(paths)
    windows = names.of_windows(paths)
    for path in paths:
        file, name = root / path, path.replace("\\", "/") if windows else path
        if windows and not meant(name, reading):
            continue
        try:
            size = file.stat().st_size
        except OSError as error:
            reading.leave_out(_lost(error), printable(name))
            continue
        yield File([shown(name, reading)], size, partial(file.open, "rb"))


def _below(root: Path, reading: Reading) -> Iterator[str]:
    """The relative paths of files, as the file system spells them."""
    waiting = [("", frozenset[tuple[int, int]]())]
    while waiting:
        folder, around = waiting.pop()
        try:
            place = (root / folder).stat()
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            reading.leave_out(_lost(error), printable(folder) or ".")
            continue
        around |= {(place.st_dev, place.st_ino)}
        if folder:
            reading.folders.add(printable(folder))
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if (kind := _kind(entry, around)) == "folder":
                waiting.append((path, around))
            elif kind == "file":
                yield path
            else:
                reading.leave_out(kind, printable(path))


def _lost(error: OSError) -> str:
    return CLOSED if isinstance(error, PermissionError) else GONE


def _kind(entry: os.DirEntry[str], around: frozenset[tuple[int, int]]) -> str:
    """`file`, `folder`, or why an entry is neither."""
    if why := kinds.not_meant(entry.name):
        return why
    try:
        if entry.is_dir():
            found = entry.stat()
            inside = entry.is_symlink() and (found.st_dev, found.st_ino) in around
            return "links that lead back into a folder around them" if inside else "folder"
        if entry.is_file():
            return "file"
    except PermissionError:
        return CLOSED
    except OSError:  # a link to itself
        pass
    if entry.is_symlink():
        return "broken links (of git-annex: `git annex get .` fetches the files)"
    return "neither files nor folders (pipes, sockets)"
