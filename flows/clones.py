"""Clones that work for one pipeline: what it hands to them, and that a cell is the same wherever it is run.

The code comes with the clone, and must be that of the pipeline's own. What a user writes, the suite, params.yaml,
methods.yaml and dvc.yaml, is handed over as it is written there: what is chosen on a form is nowhere committed.
"""

import hashlib
import io
import platform
import subprocess
from pathlib import Path

from dvc.utils.serialize import load_yaml
from pydantic import BaseModel
from ruamel.yaml import YAML

from flows.edits import Written
from flows.graph import LOCK, Graph
from ssl_core.errors import Refused
from tasks.stage import atomic_file
from tasks.workspace import TEMPORARY

CODE = ("ssl_core", "tasks", "flows", "requirements.lock")
HANDED = TEMPORARY / "handed"
"""The digests of what was handed to this clone, a line each: that may be replaced, and what its user wrote may not."""


class Handed(BaseModel):
    """What a clone is handed with a cell; nothing where the cell is run where the pipeline is."""

    commit: str = ""
    code: str = ""
    files: dict[str, str] = {}
    before: list[str] = []
    """The stages that stand on no cell; what they made is on the remote, and dvc.lock, among the files, has it."""


def handed(graph: Graph, written: Written) -> Handed:
    """What other clones need for cells of this one, which has run what is before them."""
    before = [stage.name for stage in graph.before]
    files = {str(file): content.decode() for file, content in written.bytes.items()}
    return Handed(commit=commit(), code=code(), files=files | {LOCK: _locked(before)}, before=before)


def receive(given: Handed) -> None:
    """Write down what was handed over.

    Raises `Refused` where the code is another, or where a file was edited in this clone.
    """
    here = f"the clone {Path.cwd()} on {platform.node()}"
    if given.code != code():
        raise Refused(
            f"{here} ({commit()}) has other code than the one that the pipeline runs in ({given.commit}), so that its "
            "cells would not be the same: bring both to one commit, without edits of code"
        )
    known = set(HANDED.read_text().split()) if HANDED.exists() else set()
    for name, content in given.files.items():
        there = Path(name).read_text() if Path(name).exists() else ""
        if there not in ("", content) and name != LOCK and _digest(there) not in known and there != _committed(name):
            raise Refused(f"{name} was edited in {here}, and the pipeline has another: git checkout {name} there")
    TEMPORARY.mkdir(parents=True, exist_ok=True)
    HANDED.write_text("\n".join(known | set(map(_digest, given.files.values()))))
    for name, content in given.files.items():
        with atomic_file(Path(name)) as opened:
            opened.write_text(content)


def code() -> str:
    """A digest of all that a cell's figures may depend on and that is not written by a user."""
    hashed = hashlib.sha256()
    for part in map(Path, CODE):
        for file in sorted(part.rglob("*")) if part.is_dir() else [part]:
            if file.is_file() and "__pycache__" not in file.parts:
                hashed.update(file.as_posix().encode() + file.read_bytes())
    return hashed.hexdigest()


def commit() -> str:
    """What git calls this state of the code: abc1234, or abc1234 with edits."""
    found = _git("rev-parse", "--short", "HEAD").strip() or "no commit"
    return f"{found} with edits" if _git("status", "--porcelain", "--", *CODE) else found


def _committed(name: str) -> str:
    return _git("show", f"HEAD:./{name}")


def _git(*words: str) -> str:
    """What git says; nothing where there is no git repository."""
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""


def _locked(stages: list[str]) -> str:
    """A dvc.lock that has these stages of the one here."""
    content = load_yaml(LOCK)
    content["stages"] = {name: made for name, made in content["stages"].items() if name in stages}
    said = io.StringIO()
    YAML(typ="safe").dump(content, said)
    return said.getvalue()


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
