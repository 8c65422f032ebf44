"""The files of a folder or an archive, each with the names that it is read under and what opens it."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from ssl_core.data import kinds
from ssl_core.data.source import Encoded, Reading
from ssl_core.errors import Refused

LARGEST = 2**29
"""Bytes that are read of one file: what is, or unpacks to, more is no image, and would not fit in memory."""

GONE = "files that were gone when they were to be read"


@dataclass(frozen=True)
class File:
    """One file: its names (a link's name is one of its target's), its bytes as declared, and what opens it."""

    names: list[str]
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


def meant(name: str, reading: Reading) -> bool:
    """Whether a path is one of the user's; a system's leftovers and what is hidden are left out of the reading."""
    parts = PurePosixPath(name).parts
    for depth, part in enumerate(parts, 1):
        if why := kinds.not_meant(part):
            reading.leave_out(why, "/".join(parts[:depth]))
            return False
    return True


def looks_like_image(file: File) -> bool:
    """Whether a file's name and its first bytes are those of an image, be it damaged further on."""
    name = file.names[0]
    try:
        with file.open() as opened:
            head = opened.read(kinds.HEAD)
        return kinds.no_image(name, head) is None if not kinds.called_image(name) else bool(kinds.formats(name, head))
    except (Refused, OSError, zipfile.BadZipFile, zlib.error):
        return False


def contents(file: File, reading: Reading) -> Iterator[tuple[str, Encoded]]:
    """A file's content under each of its names; nothing where it is no image or may not be read, which is noted."""
    content, trouble = b"", ""
    if file.size > LARGEST:
        trouble = f"it has {file.size / 2**30:.1f} GiB, or unpacks to that; {LARGEST / 2**30:.1f} GiB are read at most"
    try:
        with file.open() as opened:
            if not kinds.called_image(file.names[0]):
                content = opened.read(kinds.HEAD)
                if why := kinds.no_image(file.names[0], content):
                    for name in file.names:
                        reading.leave_out(why, name)
                    return
            if not trouble:
                content += opened.read()
    except PermissionError:
        for name in file.names:
            reading.leave_out("files that may not be read (permissions)", name)
        return
    except FileNotFoundError:
        for name in file.names:
            reading.leave_out(GONE, name)
        return
    except (zipfile.BadZipFile, zlib.error) as error:
        trouble = f"damaged in the archive: {error}"
    if not trouble and kinds.without_pixels(content):
        for name in file.names:
            reading.leave_out(kinds.WITHOUT_PIXELS, name)
        return
    for name in file.names:
        yield name, Encoded(content, name, trouble=trouble)
