"""What still runs in a folder."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def left(folder: Path) -> dict[int, str]:
    """The processes that work in it, with their commands; not this one, and none that has ended."""
    found = {}
    for process in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            if process.name.isdigit() and (process / "cwd").readlink() == folder and int(process.name) != os.getpid():
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def until_none_is_left(folder: Path, seconds: float, words: Iterable[str] = ("",)) -> None:
    """Wait for that, so long at most; or until there is none whose command has one of these words."""
    until = time.monotonic() + seconds
    while there := [command for command in left(folder).values() if any(word in command for word in words)]:
        assert time.monotonic() < until, there
        time.sleep(0.02)
