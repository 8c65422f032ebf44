"""What folders of images hold, so that `prepare` runs again when one was changed. Without PyTorch.

DVC would keep a copy of every file to know a folder. Names, sizes and times are told in seconds for a million, and
content is read where they differ, or another file has the name of one, as `cp -p` and `rsync -t` keep its time. Where a
data set of `images` is a folder or an archive, the stage `watch` lists it at every `dvc repro`, and `configure`, which
depends on the list, hands its digest on. The first time there is no such stage yet: `configure` lists by itself and has
dvc.yaml make one from then on. Where no data set is a folder, nothing runs.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.configuration import files
from tasks.stage import atomic_file

FOLDER = Path("data/watched")
"""What `configure` depends on: the list, and the file that says whether the stage `watch` is there."""
LIST, SWITCH = FOLDER / "folders.json", FOLDER / "switch.yaml"
ON = "watched: [folders]\n"
KEPT = Path(".dvc/tmp/watched")
"""What each file of a data set held when it was seen on this machine, by its size, times and number on the disk."""


def listed(params: dict[str, Any]) -> dict[str, str]:
    """The digest of each data set of `images` that is a folder or an archive, by params.yaml as it is written.

    Of one whose files are not here, as in a clone that has the results alone, what was listed where they were.
    """
    digests = {}
    for name in params["images"]:
        one = params["data"].get(name) if isinstance(params.get("data"), dict) else None
        if isinstance(one, dict) and one.get("path"):
            there = Path(str(one["path"])).expanduser().exists()
            digests[name] = (_digest(name, one) if there else _before(name)) or "nothing is there"
    return digests


def known(params: dict[str, Any]) -> dict[str, str]:
    """What the stage `watch` has listed; where it did not run, what it would list."""
    return json.loads(LIST.read_text()) if LIST.exists() else listed(params)


def write(params: dict[str, Any]) -> None:
    """Write the list."""
    with atomic_file(LIST) as opened:
        opened.write_text(json.dumps(listed(params), indent=2) + "\n")


def refresh(params: dict[str, Any]) -> None:
    """Write the list where the stage `watch` would: what is told before a run is then what the run will see."""
    if LIST.exists():
        write(params)


def watch(params: dict[str, Any]) -> None:
    """Have the stage `watch` be there from the next `dvc repro` on, where any folder is; there it stays."""
    if listed(params) and SWITCH.read_text().splitlines()[-1:] != [ON.strip()]:
        write(params)
        said = [line for line in SWITCH.read_text().splitlines() if line.startswith("#")]
        with atomic_file(SWITCH) as opened:
            opened.write_text("\n".join([*said, ON]))


def _before(name: str) -> str:
    """What `configure` was given the last time."""
    file = files.CONFIGS / "prepare" / f"{name}.yaml"
    return str(files.read(file).get("listed") or "") if file.exists() else ""


def _digest(name: str, one: dict[str, Any]) -> str:
    """Of names and content, so that the same images are the same on every machine.

    A file is read only where its status differs from what is kept of it; what cannot be read is tried every time.
    """
    kept = KEPT / f"{name}.tsv"
    before = dict(_known(kept)) if kept.exists() else {}
    digest = hashlib.sha256()
    with atomic_file(kept) as written, written.open("wb") as opened:
        for i, root in enumerate(_roots(one)):
            for file, status, path in sorted(_files(root)):
                key = os.fsencode(f"{i}{file}\0{status}").replace(b"\n", b"\0").replace(b"\r", b"\0")
                content = before.get(key) or _content(path)
                digest.update(os.fsencode(f"{file}\0{content}\n"))
                if content:
                    opened.write(key + b"\t" + content.encode() + b"\n")
    return digest.hexdigest()


def _roots(one: dict[str, Any]) -> list[Path]:
    """A folder or an archive, and the table of its labels where it has one."""
    path = Path(str(one["path"])).expanduser()
    labels = one.get("labels")
    tables = [str(labels.get("table"))] if isinstance(labels, dict) else []
    places = [place for table in tables for place in (Path(table).expanduser(), path.parent / table)]
    return [path, *(place for place in places if place.exists())]


def _known(kept: Path) -> Iterator[tuple[bytes, str]]:
    """Name and status of each file that was seen on this machine, and what it held."""
    for line in kept.read_bytes().splitlines():
        key, _, content = line.rpartition(b"\t")
        yield key, content.decode()


def _content(path: Path) -> str:
    """Nothing of a folder, a pipe, or a file that may not be read."""
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
    return ""


def _status(of: os.stat_result) -> str:
    """What changes with a file's content: a file of the same size and time has another number, or was changed since."""
    return f"{of.st_size} {of.st_mtime_ns} {of.st_ctime_ns} {of.st_ino}"


def _files(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Name, status and path of each file and folder at or below a path.

    Links are followed, but not back into a folder around them; hidden files are left out.
    """
    waiting = [(root, "", frozenset[tuple[int, int]]())]
    while waiting:
        path, name, around = waiting.pop()
        try:
            status = path.stat()
            entries = os.scandir(path) if path.is_dir() else None
        except OSError:  # a broken link, or a folder that may not be read: told by `prepare`
            yield name, "unreadable", path
            continue
        if entries is None:
            yield name, _status(status), path
            continue
        here = status.st_dev, status.st_ino
        with entries:
            if here not in around:  # else it is seen again in a loop of links
                yield f"{name}/", "folder", path
            for entry in entries if here not in around else ():
                if entry.name.startswith("."):
                    continue
                below = f"{name}/{entry.name}"
                with suppress(OSError):  # it went away, or its folder may be listed and not entered
                    if entry.is_file(follow_symlinks=False):
                        yield below, _status(entry.stat(follow_symlinks=False)), Path(entry.path)
                        continue
                waiting.append((Path(entry.path), below, around | {here}))
