"""A copy of the project in a folder of its own, with a suite of its own, in which real commands are timed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks.configuration import files

PROJECT = Path(__file__).parent.parent


def clone(into: Path, suite: str, content: dict[str, Any]) -> Path:
    """What git tracks, without git, `suite` the active one; nothing is fine-tuned."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, into / name)
    whole = {"suite": suite, "question": "How long?", "fine_tune": [], **content}
    YAML().dump(whole, into / files.SUITES / f"{suite}.yaml")
    run(into, "-m", "dvc", "config", "--local", "core.no_scm", "true")
    run(into, "-m", "tasks.configuration.choose", "--suite", suite)
    return into


def edit(project: Path, file: str | Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a file that a user writes, in place."""
    content = files.read(project / file)
    change(content)
    YAML().dump(content, project / file)


def run(project: Path, *arguments: str) -> None:
    """Run Python there. Raises `RuntimeError` with the end of what it printed where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {(done.stdout + done.stderr)[-2000:]}")
