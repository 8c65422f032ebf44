"""A small project, as a user would clone it: the real stages, on drawn images, in seconds."""

import atexit
import fcntl
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.configuration import files

PROJECT = Path(__file__).parent.parent
# Without what make hands on: a make that a test starts is nobody's part. And a clone keeps its code's bytecode, as a
# user's does: it is run many times.
LEFT_OUT = ("MAKE", "MFLAGS", "PYTHONDONTWRITEBYTECODE")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_WAIT_POLICY": "passive",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}
SUITE: dict[str, Any] = {
    "suite": "small",
    "question": "Does it run?",
    "seeds": [0],
    "variants": {"random": None, "simclr": None},
    "fine_tune": ["simclr"],
    "defaults": {"backbone": {"width": 8}, "pretraining": {"epochs": 1, "batch_size": 128}},
}
SMALL: dict[str, Any] = {
    "images": ["small"],
    "data": {"small": {"source": "shapes", "image_size": 16, "count": 1600}},
    "compute": {"device": "cpu", "threads": 1},
    "evaluation": {"weight_decays": [0.001, 0.1], "fine_tuning": {"min_steps": 2, "max_steps": 4, "evaluations": 2}},
}
SMALL_SUITE = "suites/small.yaml"


def cold(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment under test as a user does; both outputs in `stdout`."""
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Like `cold`, where it is not the start that is tested: `python -m` and `dvc` have the libraries already."""
    return cold(*command, cwd=cwd, **{"PATH": warm_path()} | environment)


@functools.cache
def warm_path(*inside: str) -> str:
    """The PATH whose `python` and `dvc` are answered by a server of this process, where forking is safe.

    `inside`: what runs a command on another host (`machines.py`), which then has a server of its own.
    """
    if sys.platform != "linux":
        return ENVIRONMENT["PATH"]
    # Not pytest's own folder, whose name may be too long for a socket's.
    folder = Path(tempfile.mkdtemp(prefix="warm", dir="/tmp"))
    address = folder / "socket"
    for name, module in (("python", ""), ("dvc", "-m dvc")):
        asks = f"exec '{sys.executable}' -IS '{PROJECT / 'tests' / 'ask.py'}' '{address}'"
        (folder / name).write_text(f'#!/bin/sh\n{asks} {module} "$@"\n')
        (folder / name).chmod(0o755)
    server = subprocess.Popen(
        [*inside, sys.executable, str(PROJECT / "tests" / "warm.py"), str(address)],
        env=ENVIRONMENT | {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    assert server.stdout.readline() == b"ready\n"

    atexit.register(server.communicate)
    return f"{folder}{os.pathsep}{ENVIRONMENT['PATH']}"


def edit(project: Path, change: Callable[[dict[str, Any]], object], file: str = "params.yaml") -> None:
    """Change a file that a user writes, in place."""
    content = files.read(project / file)
    change(content)
    YAML().dump(content, project / file)


def clone(into: Path) -> Path:
    """The working tree's tracked files in a git repository of their own, with small parameters and a small suite."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name and (PROJECT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, into / name)
    edit(into, lambda content: content.update(SMALL))
    YAML().dump(SUITE, into / SMALL_SUITE)
    choose_suite(into, "small")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run(["git", *command], cwd=into, env=ENVIRONMENT, check=True)
    return into


def choose_suite(project: Path, name: str) -> None:
    """Have dvc.yaml name another suite, as an editor would."""
    graph = project / "dvc.yaml"
    graph.write_text(re.sub(r"suites/\w+\.yaml:", f"suites/{name}.yaml:", graph.read_text(), count=1))


def insert(file: Path, written: str, opening: str) -> None:
    """Put a guide's import before the file's first of that package, and its entry behind the line that opens a list."""
    imported, entry = written.split("\n\n")
    package = ".".join(imported.split()[1].split(".")[:2])
    content = file.read_text()
    assert content.count(opening) == 1
    content = content.replace(opening, f"{opening}\n{entry.rstrip()}")
    first = content.index(f"\nfrom {package}") + 1
    file.write_text(f"{content[:first]}{imported}\n{content[first:]}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, then those with a slow test: begun last, they would leave the other processes idle.

    One that needs what all share (`finished`) makes it at once, beside what does not need it; the others come later.
    """

    def file(item: pytest.Item) -> pytest.Module | None:
        return item.getparent(pytest.Module)

    slow = {file(item) for item in items if item.get_closest_marker("slow")}
    needing = dict.fromkeys(file(item) for item in items if "finished" in getattr(item, "fixturenames", ()))
    maker = next((module for module in needing if getattr(module, "own_markers", [])), None)

    def place(item: pytest.Item) -> tuple[bool, ...]:
        module = file(item)
        return module is not maker, getattr(module, "own_markers", []) == [], module not in slow, module in needing

    items.sort(key=place)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A clone in which `dvc repro` has run and its end was shown; a test that changes something works on a copy.

    The processes that run tests share one: the first makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    project = (base if worker_id == "master" else base.parent) / "finished"
    with (project.parent / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (project / "tasks.show.log").exists():
            clone(project)
            for command in (("dvc", "repro"), ("python", "-m", "tasks.show")):
                done = cold(*command, cwd=project)
                assert done.returncode == 0, done.stdout[-5000:]
                (project / f"{command[-1]}.log").write_text(done.stdout)
    return project


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MLflow has set up, which takes seconds."""
    from mlflow import MlflowClient

    made = tmp_path_factory.mktemp("fresh") / "mlflow.db"
    MlflowClient(f"sqlite:///{made}").search_experiments()
    return made


@pytest.fixture(scope="session")
def digested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that has run, whose stages but `configure` digest what they read; a test works on a copy."""
    from graph import digesting

    return digesting(tmp_path_factory.mktemp("graph"))


@pytest.fixture
def copied(digested: Path, tmp_path: Path) -> Path:
    """A copy of what has run: DVC has nothing of another test to put back, and its lock stays small."""
    return shutil.copytree(digested, tmp_path / "project", symlinks=True)
