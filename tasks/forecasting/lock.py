"""dvc.lock and DVC's cache, as a forecast reads them: what each stage read and wrote. Without starting DVC.

The forms are those of DVC 3: the lock, the digest of a folder, and the name under which its run-cache keeps a run.
"""

import configparser
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

LOCK = Path("dvc.lock")
FOLDER = ".dir"
"""How the digest of a folder ends."""
LINE = re.compile(
    r"^  (?P<stage>\S[^\n]*):$|^    (?P<part>deps|params|outs):$|^    - path: (?P<path>.+)$"
    r"|^      md5: (?P<md5>\S+)$|^      size: (?P<size>\d+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Locked:
    """What a stage read and wrote when it last ran: digests by path, and the bytes of what it wrote."""

    deps: dict[str, str] = field(default_factory=dict)
    outs: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def read() -> dict[str, Locked]:
    """All stages that ever ran, by their names; none where there is no lock.

    Line by line, as DVC writes it: the lock of 200 cells takes a YAML parser seconds.
    """
    if not LOCK.exists():
        return {}
    found: dict[str, Locked] = {}
    stage, part, path = Locked(), "", ""
    for line in LINE.finditer(LOCK.read_text()):
        if name := line["stage"]:
            stage, part = found.setdefault(name.strip("'\""), Locked()), ""
        elif line["part"]:
            part = line["part"]
        elif line["path"]:
            path = line["path"].strip("'\"")
        elif part == "deps" and line["md5"]:
            stage.deps[path] = line["md5"]
        elif part == "outs" and line["md5"]:
            stage.outs[path] = line["md5"]
        elif part == "outs":
            stage.sizes[path] = int(line["size"])
    return found


def digest(path: Path) -> str:
    """The digest that DVC has of a file or a folder as it is now; empty where there is none."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if not path.is_dir():
        return ""
    inside = sorted(
        (file.relative_to(path).as_posix(), digest(file))
        for file in path.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc"
    )
    listed = json.dumps([{"md5": md5, "relpath": name} for name, md5 in inside], sort_keys=True)
    return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest() + FOLDER


def cached(md5: str) -> bytes | None:
    """What DVC's cache keeps by a digest; None where it has been taken away."""
    file = _cache() / "files" / "md5" / md5[:2] / md5[2:]
    return file.read_bytes() if md5 and file.is_file() else None


def inside(md5: str, name: str) -> bytes | None:
    """A file of a folder that DVC's cache keeps."""
    listed = cached(md5) if md5.endswith(FOLDER) else None
    entries = json.loads(listed) if listed else []
    return next((cached(one["md5"]) for one in entries if one["relpath"] == name), None)


def remembered(command: str, deps: dict[str, str], outs: Sequence[str]) -> dict[str, str] | None:
    """The digests of what a command left, if it ever ran with dependencies of these digests; None where it did not."""
    run = {
        "cmd": command,
        "deps": [{"path": path, "hash": "md5", "md5": md5} for path, md5 in sorted(deps.items())],
        "outs": sorted(outs),
    }
    key = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()
    for file in (_cache() / "runs" / key[:2] / key).glob("*"):
        return {out["path"]: out["md5"] for out in YAML(typ="safe").load(file)["outs"]}
    return None


def _cache() -> Path:
    return Path(".dvc") / setting("cache", "dir", "cache")


def setting(part: str, key: str, otherwise: str) -> str:
    """A value of DVC's configuration in this project."""
    written = configparser.ConfigParser()
    written.read([".dvc/config", ".dvc/config.local"])
    return written.get(part, key, fallback=otherwise)
