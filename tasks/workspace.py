"""One writer a workspace: a second flow, `make repro` or `dvc repro` there is refused, and named the first.

The writer holds a lock of the system's (flock(2)) on a file that has its process's number: where it is killed, nothing
is left that stands in the way. What it starts knows it by a variable of the environment, and belongs to it.
"""

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import IO

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ssl_core.errors import Refused
from tasks.parent import STAGE

TEMPORARY = Path(".dvc/tmp")
HOLDER = "STOPGRAD_WRITER"
LEFT = (".", "observations/*", "cells/*", "cells/*/*", "figures/*", "figures/*/*", "data/*", "results/*")
"""Where stages write beside what they make, until it is whole."""


@contextmanager
def writing() -> Iterator[None]:
    """Be the one that writes in this folder until the block ends, after removing what a killed one left.

    Does nothing where the writer started this process. Raises `Refused` where another process writes here.
    """
    with _held(os.getpid()) as anew:
        if anew:
            _mend()
        yield


def written_by_stage() -> AbstractContextManager[object]:
    """The same for a stage, in the name of the `dvc` that a user started; nothing where no DVC runs this process."""
    return _held(os.getppid()) if STAGE in os.environ else nullcontext()


@contextmanager
def _held(writer: int) -> Iterator[bool]:
    """Gives whether the lock was taken, not that of the one who started this process."""
    TEMPORARY.mkdir(parents=True, exist_ok=True)
    with (TEMPORARY / "writer").open("a+") as file:
        if not _taken(file):
            holder = _read(file)
            if holder != os.environ.get(HOLDER):
                raise Refused(busy(holder))
            yield False
            return
        file.truncate(0)
        file.write(str(writer))
        file.flush()
        os.environ[HOLDER] = str(writer)
        try:
            yield True
        finally:
            os.environ.pop(HOLDER, None)


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: IO[str]) -> str:
    """Who holds it; the moment between taking and writing it is waited for."""
    for _ in range(20):
        file.seek(0)
        if holder := file.read():
            return holder
        time.sleep(0.05)
    return ""


def busy(pid: str) -> str:
    """Which process writes here, since when, and what can be done."""
    import psutil

    try:
        process = psutil.Process(int(pid))
        started = datetime.fromtimestamp(process.create_time())
        command = _spoken(process.cmdline())
    except (ValueError, psutil.Error):
        return "another process writes in this folder, or did until now: try again"
    since = f"{started:%H:%M}" if started.date() == datetime.now().date() else f"{started:%d %B, %H:%M}"
    return f"process {pid}, `{command}`, started {since}, writes in this folder: wait for it, or end it (kill {pid})"


def _spoken(words: list[str]) -> str:
    """A command as it was typed: `dvc repro` is python with the path of a script."""
    words = words[1:] if len(words) > 1 and not words[1].startswith("-") else words
    return " ".join([Path(words[0]).name, *words[1:]]) if words else "?"


def _mend() -> None:
    """Put aside what a killed DVC has written half, and remove what killed stages have. Nobody else writes here.

    Nothing is lost by it: what ran before is in DVC's cache of runs, and is taken from there.
    """
    for folder in LEFT:
        for left in Path().glob(f"{folder}/.*.partial"):
            _remove(left)
    rwlock, lock = TEMPORARY / "rwlock", Path("dvc.lock")
    if rwlock.exists() and not _is_json(rwlock):
        time.sleep(0.2)  # a `dvc status` may be writing it
        if not _is_json(rwlock):
            rwlock.unlink(missing_ok=True)
    if lock.exists() and not _is_whole(lock.read_text()):
        broken = lock.replace(TEMPORARY / "dvc.lock.broken")
        print(f"dvc.lock was cut off, as by a killed run: it is {broken} now, and DVC's cache has what ran", flush=True)


def _remove(left: Path) -> None:
    if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except ValueError:
        return False
    return True


def _is_whole(content: str) -> bool:
    """Whether a dvc.lock ends with a whole stage: DVC writes it from its beginning on, and a kill cuts off its end."""
    if "<<<<<<<" in content:
        return True  # a merge's conflict is the user's
    begun = [found.start() for found in re.finditer(r"^  \S", content, re.MULTILINE)]
    if not begun or not content.endswith("\n"):
        return False
    try:
        (stage,) = YAML(typ="safe").load(content[begun[-1] :]).values()
        files = [file for part in ("deps", "outs") for file in stage.get(part, ())]
        return "cmd" in stage and all("md5" in file for file in files)
    except (YAMLError, AttributeError, TypeError):
        return False
