"""What still runs in a folder."""

import os
import time
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


def until_none_is_left(folder: Path, seconds: float) -> None:
    """Wait for that, so long at most."""
    until = time.monotonic() + seconds
    while left(folder):
        assert time.monotonic() < until, left(folder)
        time.sleep(0.02)
