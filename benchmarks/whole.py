"""From a folder of JPEG files to a SimCLR backbone with probe and k-NN on test: `python -m benchmarks.whole`.

Each contender is a command of its own, its start included, with the same backbone, recipe, batch, epochs, number format
and AdamW. Stopgrad's is `make repro` (python -m flows.repro) in a clone: forecast, stages, cache, table, report and
MLflow's record too; and its core in one script beside it, as the others are: lightly's and torchvision's parts in plain
loops, stable-pretraining's by its own module, callbacks and Lightning's trainer.
"""

import csv
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import project
from benchmarks.page import Section
from benchmarks.timing import Spread
from ssl_core import data
from ssl_core.data import prepared
from ssl_core.data.preparing import prepare
from ssl_core.data.shapes import ShapesConfig

SIDE, SUITE, IMAGES = 32, "whole", "photos"
PIPELINE, CORE = "stopgrad, make repro", "stopgrad, its core"
SCRIPTS = {
    CORE: ("torch", "stopgrad"),
    "lightly": ("lightly", "lightly"),
    "stable-pretraining": ("stable_pretraining", "stable"),
    "torchvision and scikit-learn": ("sklearn", "torchvision"),
}
"""By name: the module that must be installed, and the function of `whole_scripts`."""
Reached = dict[str, float]
"""Accuracy on test by `probe` and `knn`."""


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    count, epochs, rounds = (700, 1, 1) if quick else (12_000, 2, 2)
    with tempfile.TemporaryDirectory() as scratch:
        folder = jpegs(Path(scratch), count)
        seconds, reached = _turns(contenders(folder, epochs, Path(scratch)), rounds)
    medians = {name: Spread.of(each).median for name, each in seconds.items()}
    ours, best = medians[PIPELINE], min(medians.keys() - {PIPELINE, CORE}, key=medians.__getitem__)
    return Section(
        title="From files to figures",
        measured=(
            f"{count:,} JPEG files of {SIDE} px in class folders, {epochs} epochs of SimCLR with a ResNet-10 of width "
            "16, a linear probe and k-NN on test: seconds of the whole command, "
            f"{rounds} rounds in turns. Stopgrad's `make repro` also compares, shows and records; its probe chooses "
            "among six weight decays on val. stable-pretraining's probe is trained beside the backbone."
        ),
        columns=["", "seconds: median (least–greatest)", f"times {PIPELINE}", "probe", "k-NN"],
        rows=[
            [
                name,
                Spread.of(seconds[name]).text(),
                f"{medians[name] / ours:.2f}",
                *(f"{reached[name][kind]:.1%}" for kind in ("probe", "knn")),
            ]
            for name in medians
        ],
        meaning=(
            f"The quickest of the others, {best}, takes {medians[best] / ours:.2f} of the time of `make repro`, and "
            f"{medians[best] / medians[CORE]:.2f} of that of Stopgrad's core."
        ),
        figures={"seconds": seconds, "reached": reached},
    )


def jpegs(into: Path, count: int) -> Path:
    """Drawn shapes as `train/<class>/` and `test/<class>/` JPEG files."""
    config = ShapesConfig(source="shapes", image_size=SIDE, count=count)
    drawn = into / "drawn"
    drawn.mkdir()
    card = prepare("shapes", data.read(config, into), config, drawn)
    found = prepared.load(drawn)
    for split in found.splits:
        labels = np.load(drawn / f"{split}_labels.npy")
        for number, (pixels, label) in enumerate(zip(found.images(split), labels, strict=True)):
            folder = into / "images" / ("test" if split == "test" else "train") / card.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{split}{number:06}.jpg", quality=92)
    return into / "images"


def contenders(folder: Path, epochs: int, scratch: Path) -> dict[str, Callable[[], Reached]]:
    """What each runs, by name; other libraries' as far as they are installed."""
    runs: dict[str, Callable[[], Reached]] = {PIPELINE: lambda: pipeline(folder, epochs, scratch)}
    for name, (module, function) in SCRIPTS.items():
        if importlib.util.find_spec(module):
            runs[name] = lambda function=function: _script(function, folder, epochs)
    return runs


def _turns(runs: dict[str, Callable[[], Reached]], rounds: int) -> tuple[dict[str, list[float]], dict[str, Reached]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    reached = {}
    for _ in range(rounds):
        for name, run in runs.items():
            reached[name] = run()
            seconds[name].append(reached[name].pop("seconds"))
    return seconds, reached


def pipeline(folder: Path, epochs: int, scratch: Path) -> Reached:
    """`make repro` in a fresh clone, which is made before the clock starts."""
    with tempfile.TemporaryDirectory(dir=scratch) as parent:
        suite: dict[str, Any] = {
            "seeds": [0],
            "variants": {"simclr": None},
            "defaults": {"pretraining": {"epochs": epochs}},
        }
        clone = project.clone(Path(parent) / "project", SUITE, suite)
        source = {"source": "folder", "path": str(folder), "image_size": SIDE}
        project.edit(clone, "params.yaml", lambda content: content.update(images=[IMAGES], data={IMAGES: source}))
        project.edit(clone, "params.yaml", lambda content: content["evaluation"].update(label_fractions=[1.0]))
        begun = time.perf_counter()
        project.run(clone, "-m", "flows.repro")
        seconds = time.perf_counter() - begun
        (figures,) = (clone / "figures").rglob("probe/*/figures.csv")
        with figures.open() as opened:
            rows = [row for row in csv.DictReader(opened) if row["split"] == "test" and row["metric"] == "accuracy"]
    found = {row["head"]: float(row["value"]) for row in rows}
    return {"seconds": seconds, "probe": found["linear"], "knn": found["knn20"]}


def _script(function: str, folder: Path, epochs: int) -> Reached:
    """One of `whole_scripts` in a process of its own; its last line is what it reached."""
    command = [sys.executable, "-m", "benchmarks.whole_scripts", function, str(folder), str(epochs)]
    environment = {**os.environ, "PYTHONPATH": str(project.PROJECT)}
    with tempfile.TemporaryDirectory() as elsewhere, chdir(elsewhere):  # some leave files where they are
        begun = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{function}: {(done.stdout + done.stderr)[-2000:]}")
    return {"seconds": seconds, **json.loads(done.stdout.strip().splitlines()[-1])}


if __name__ == "__main__":
    print(section(quick="--quick" in sys.argv).markdown())
