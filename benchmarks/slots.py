"""A suite's cells side by side with one thread each, beside one after another with all: `python -m benchmarks.slots`.

`make repro` against `dvc repro`, each in a clone of its own whose images are prepared; they take turns. Two budgets:
the default's cells, and cells whose pretraining takes about a minute of two cores.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.page import Section
from benchmarks.timing import Spread
from tasks.configuration import files

PROJECT = Path(__file__).parent.parent
SUITE = "timed"
SEEDS = [0, 1]
VARIANTS = ("simclr", "vicreg")
BUDGETS = {"as the default suite": 0.8, "of about a minute": 2.0}
"""Passes over the images."""


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    done = Section(
        title="Cells side by side",
        measured=(
            f"{len(SEEDS) * len(VARIANTS)} cells of the default images and sizes, without fine-tuning, images "
            "prepared: seconds of the whole command, in turns."
        ),
        columns=["cells", "at once x threads", "seconds: median (least–greatest)", "times one after another"],
    )
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        template = _clone(Path(scratch) / "template", quick)
        for name, epochs in ({"small": 0.4} if quick else BUDGETS).items():
            alone, beside = _turns(template, Path(scratch), epochs, cores, rounds=1 if quick else 2)
            share = Spread.of([a / b for a, b in zip(alone, beside, strict=True)])
            done.rows.append([name, f"1 x {cores}, `dvc repro`", Spread.of(alone).text(), "1"])
            done.rows.append([name, f"{cores} x 1, `make repro`", Spread.of(beside).text(), share.text(".2f")])
            done.figures[name] = {"alone": alone, "beside": beside}
    return done


def _turns(template: Path, scratch: Path, epochs: float, cores: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds one after another, and side by side, of each round."""
    commands = {cores: ["-m", "dvc", "repro"], 1: ["-m", "flows.repro"]}
    seconds: dict[int, list[float]] = {threads: [] for threads in commands}
    for _ in range(rounds):
        for threads, command in commands.items():
            project = scratch / "project"
            shutil.copytree(template, project, symlinks=True)
            _edit(project, files.PARAMS, lambda content, n=threads: content["compute"].update(threads=n))
            _edit(project, f"{files.SUITES}/{SUITE}.yaml", lambda c: c["defaults"]["pretraining"].update(epochs=epochs))
            _run(project, "-m", "dvc", "repro", "configure")
            begun = time.perf_counter()
            _run(project, *command)
            seconds[threads].append(time.perf_counter() - begun)
            shutil.rmtree(project)
    return seconds[cores], seconds[1]


def _clone(project: Path, quick: bool) -> Path:
    """A project with the suite, its images prepared."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, project / name)
    suite: dict[str, Any] = {
        "suite": SUITE,
        "question": "How long?",
        "seeds": SEEDS,
        "variants": dict.fromkeys(VARIANTS),
    }
    YAML().dump(suite | {"fine_tune": [], "defaults": {"pretraining": {}}}, project / files.SUITES / f"{SUITE}.yaml")
    if quick:
        _edit(project, files.PARAMS, lambda content: content.update(images=["shapes"]))
    else:
        (project / "data").mkdir(exist_ok=True)
        (PROJECT / "data" / "raw").mkdir(parents=True, exist_ok=True)
        (project / "data" / "raw").symlink_to(PROJECT / "data" / "raw")
    _run(project, "-m", "dvc", "config", "--local", "core.no_scm", "true")
    _run(project, "-m", "tasks.configuration.choose", "--suite", SUITE)
    _run(project, "-m", "dvc", "repro", "configure", "prepare")
    return project


def _edit(project: Path, file: str | Path, change: Any) -> None:
    content = files.read(project / file)
    change(content)
    YAML().dump(content, project / file)


def _run(project: Path, *arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {(done.stdout + done.stderr)[-2000:]}")


if __name__ == "__main__":
    print(section(quick=False).markdown())
