"""A small project, as a user would clone it: the real stages, on drawn images, in seconds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks import cells

PROJECT = Path(__file__).parent.parent
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_WAIT_POLICY": "passive",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}
SMALL: dict[str, Any] = {
    "data": {"name": "shapes", "image_size": 16, "count": 1600, "val_share": 0.1, "seed": 0},
    "suite": {"name": "small", "variants": ["random", "simclr"], "seeds": [0]},
    "compute": {"device": "cpu", "threads": 1},
    "evaluation": {"weight_decays": [0.001, 0.1], "fine_tuning": {"steps": 4, "evaluations": 2}},
}


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment under test; both outputs in `stdout`."""
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def edit(project: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a project's parameters in place."""
    content = cells.read(project / "params.yaml")
    change(content)
    YAML().dump(content, project / "params.yaml")


def clone(into: Path) -> Path:
    """The working tree's tracked files in a git repository of their own, with small parameters."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name and (PROJECT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, into / name)

    def shrink(content: dict[str, Any]) -> None:
        content.update(SMALL)
        content["defaults"]["backbone"]["width"] = 8
        content["defaults"]["pretraining"] |= {"epochs": 1, "batch_size": 128}

    edit(into, shrink)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run(["git", *command], cwd=into, env=ENVIRONMENT, check=True)
    return into


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `dvc repro` has run; a test that changes something works on a copy."""
    project = clone(tmp_path_factory.mktemp("finished"))
    done = run("dvc", "repro", cwd=project)
    assert done.returncode == 0, done.stdout[-5000:]
    (project / "repro.log").write_text(done.stdout)
    return project
