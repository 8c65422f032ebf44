"""A suite's cells side by side with one thread each, beside one after another with all: `python -m benchmarks.slots`.

`make repro` against `dvc repro`, each in a clone of its own whose images are prepared; they take turns.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import project
from benchmarks.page import Section
from benchmarks.timing import Spread
from tasks.configuration import files

SUITE = "timed"
SEEDS = [0, 1]
VARIANTS = ("simclr", "vicreg")
EPOCHS = 0.8


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    done = Section(
        title="Cells side by side",
        measured=(
            f"{len(SEEDS) * len(VARIANTS)} cells of the default images and sizes, {EPOCHS} epochs, nothing fine-tuned, "
            "images prepared: seconds of the whole command, in turns."
        ),
        columns=["at once x threads", "seconds: median (least–greatest)", "times one after another"],
    )
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        template = _timed(Path(scratch) / "template", quick)
        epochs, rounds = (EPOCHS / 2, 1) if quick else (EPOCHS, 2)
        alone, beside = _turns(template, Path(scratch), epochs, cores, rounds)
    share = Spread.of([a / b for a, b in zip(alone, beside, strict=True)])
    done.rows = [
        [f"1 x {cores}, `dvc repro`", Spread.of(alone).text(), "1"],
        [f"{cores} x 1, `make repro`", Spread.of(beside).text(), share.text(".2f")],
    ]
    done.figures = {"alone": alone, "beside": beside}
    return done


def _turns(template: Path, scratch: Path, epochs: float, cores: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds one after another, and side by side, of each round."""
    commands = {cores: ["-m", "dvc", "repro"], 1: ["-m", "flows.repro"]}
    seconds: dict[int, list[float]] = {threads: [] for threads in commands}
    for _ in range(rounds):
        for threads, command in commands.items():
            copy, suite = scratch / "project", f"{files.SUITES}/{SUITE}.yaml"
            shutil.copytree(template, copy, symlinks=True)
            project.edit(copy, files.PARAMS, lambda content, n=threads: content["compute"].update(threads=n))
            project.edit(copy, suite, lambda content: content["defaults"]["pretraining"].update(epochs=epochs))
            project.run(copy, "-m", "dvc", "repro", "configure")
            begun = time.perf_counter()
            project.run(copy, *command)
            seconds[threads].append(time.perf_counter() - begun)
            shutil.rmtree(copy)
    return seconds[cores], seconds[1]


def _timed(into: Path, quick: bool) -> Path:
    """A project with the suite, its images prepared."""
    suite: dict[str, Any] = {"seeds": SEEDS, "variants": dict.fromkeys(VARIANTS), "defaults": {"pretraining": {}}}
    made = project.clone(into, SUITE, suite)
    if quick:
        project.edit(made, files.PARAMS, lambda content: content.update(images=["shapes"]))
    else:
        (made / "data").mkdir(exist_ok=True)
        (project.PROJECT / "data" / "raw").mkdir(parents=True, exist_ok=True)
        (made / "data" / "raw").symlink_to(project.PROJECT / "data" / "raw")
    project.run(made, "-m", "dvc", "repro", "configure", "prepare")
    return made


if __name__ == "__main__":
    print(section(quick=False).markdown())
