"""The graph alone: a clone whose stages but `configure` digest what they read, and what DVC runs in it."""

import re
import shutil
from pathlib import Path

from conftest import PROJECT, clone, edit, run

SIMCLR = {"pretrain@simclr-0", "embed@simclr-0-small", "probe@simclr-0-small", "fine_tune@simclr-0-small"}
RANDOM = {"pretrain@random-0", "embed@random-0-small", "probe@random-0-small"}
STUBBED = ("prepare", "pretrain", "embed", "probe", "fine_tune", "compare", "verdict")
METHODS = ("random", "simclr", "vicreg")
"""Those that are kept: DVC reads and writes all of methods.yaml, in its lock, for every stage."""


def executed(project: Path) -> set[str]:
    """The stages whose commands DVC ran."""
    done = run("dvc", "repro", cwd=project)
    assert done.returncode == 0, done.stdout[-5000:]
    return set(re.findall(r"Running stage '(.+?)'", done.stdout))


def outcome(project: Path) -> dict[str, bytes]:
    """Everything below the results."""
    folder = project / "results"
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def digesting(into: Path) -> Path:
    """A clone that has run, whose stages but `configure` digest what they read."""
    made = clone(into)
    for stage in STUBBED:
        shutil.copy(PROJECT / "tests" / "stub_stage.py", made / "tasks" / f"{stage}.py")
    edit(made, lambda content: [content.pop(name) for name in {*content} - {*METHODS}], "methods.yaml")
    executed(made)
    return made
