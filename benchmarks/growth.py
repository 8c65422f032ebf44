"""How time and memory grow with images, pixels, cells, variants and label shares: `python -m benchmarks.growth`.

A line is one piece of work and what it grows with. Each of its sizes is done by a process of its own, whose peak of
memory counts from where the work begins: imports and what is made up before it are in the peak, not in the seconds.
Made-up images lie in files with holes, so that ten million take no disk.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import evaluation, preparing, project, step
from benchmarks.page import Section
from benchmarks.sharing import SMALL
from benchmarks.workload import MEAN, STD, Case, views
from benchmarks.workload import images as drawn
from ssl_core import backbones, data
from ssl_core.backbones import ResNetConfig
from ssl_core.data import preparing as prepared
from ssl_core.data.folder import FolderConfig
from ssl_core.evaluation import EvaluationConfig, fractions, knn, linear_probe
from ssl_core.evaluation.embedding import Images, embed
from ssl_core.training import batches
from ssl_core.training.iteration import Acceleration
from tasks.configuration import files

CPU = torch.device("cpu")
SUITE, DIMENSIONS, QUERIES, SHARE = "growing", 64, 1000, 0.1
PEAK = Path("/proc/self/clear_refs")
Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Line:
    """`ready` makes ready what a size needs, in an empty folder, and gives the work; `small`: sizes for a look."""

    stage: str
    grows_with: str
    sizes: Sequence[int]
    small: Sequence[int]
    ready: Callable[[int, Path], Work]


def preparing_files(count: int, folder: Path) -> Work:
    """Small JPEG and PNG files in class folders, as a user's."""
    preparing.make(folder / "images", count)
    config = FolderConfig(source="folder", path=str(folder / "images"))
    return lambda: prepared.prepare("many", data.read(config, folder), config, folder / "out")


def a_hundred_batches(count: int, folder: Path) -> Work:
    """From images that stay on disk, the epoch's order included."""
    streamed = batches.Streamed([_with_holes(count, folder)], CPU)
    order = batches.order(count, SMALL.batch, 0, min(100, count // SMALL.batch), 0)
    return lambda: [images.float().sum() for _, images in streamed.batches(order)]


def embedding(count: int, folder: Path) -> Work:
    network = backbones.build(SMALL.backbone, SMALL.side).eval()
    return lambda: embed(network, Images.of(_with_holes(count, folder), MEAN, STD, CPU))


def _with_holes(count: int, folder: Path) -> np.ndarray:
    shape = (count, SMALL.side, SMALL.side, 3)
    return np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)


def nearest(count: int, _folder: Path) -> Work:
    splits = evaluation.representations({"train": count, "test": QUERIES}, DIMENSIONS)
    return lambda: knn.predict(splits["train"], splits["test"], evaluation.CLASSES, EvaluationConfig())


def probe(count: int, _folder: Path) -> Work:
    splits = evaluation.representations({"train": count, "val": QUERIES}, DIMENSIONS)
    decays = EvaluationConfig().weight_decays
    return lambda: linear_probe.choose(splits["train"], splits["val"], evaluation.CLASSES, decays)


def probe_of_shares(count: int, _folder: Path) -> Work:
    """As many drawings of a tenth of the labels: the work of a share does not depend on the others."""
    splits, names = evaluation.representations({"train": 20_000, "val": QUERIES}, DIMENSIONS), list("0123456789")
    decays = EvaluationConfig().weight_decays

    def work() -> None:
        for seed in range(count):
            train = splits["train"].take(fractions.draw(splits["train"].labels, SHARE, seed, names))
            linear_probe.choose(train, splits["val"], evaluation.CLASSES, decays)

    return work


def views_of_pixels(side: int, _folder: Path) -> Work:
    augment, generator = views(step.PLAIN), torch.Generator().manual_seed(0)
    batch = step.on_device_images(64, side, CPU)
    augment(batch, generator)
    return lambda: [augment(batch, generator) for _ in range(4)]


def step_of_pixels(side: int, _folder: Path) -> Work:
    case = Case(
        name="", backbone=ResNetConfig(name="resnet10", width=16), side=side, batch=32, projector=step.PROJECTOR
    )
    iteration, batch = step.build(case, Acceleration(), CPU), step.on_device_images(case.batch, side, CPU)
    iteration(batch)
    return lambda: [iteration(batch) for _ in range(4)]


def embedding_of_pixels(side: int, _folder: Path) -> Work:
    network = backbones.build(SMALL.backbone, side).eval()
    return lambda: embed(network, Images.of(drawn(512, side), MEAN, STD, CPU))


def configuring(cells: int, folder: Path) -> Work:
    from tasks import configure

    return _in(_suite_of(cells, folder), configure.main)


def planning(cells: int, folder: Path) -> Work:
    """The flow's: what of the graph is due, asked of DVC."""
    from flows import graph

    return _in(_suite_of(cells, folder), graph.read)


def _suite_of(cells: int, folder: Path) -> Path:
    """A clone whose suite has so many cells, on the drawn shapes; nothing has run."""
    variants = dict.fromkeys(("simclr", "vicreg", "byol"))
    made = project.clone(folder / "clone", SUITE, {"variants": variants, "seeds": [*range(max(1, cells // 3))]})
    project.edit(made, files.PARAMS, lambda content: content.update(images=["shapes"]))
    return made


def comparing(variants: int, folder: Path) -> Work:
    from tasks import compare

    return _in(_variants(variants, folder), compare.main)


def showing(variants: int, folder: Path) -> Work:
    """Report, and the record handed to MLflow."""
    from tasks import compare, show, verdict

    made = _variants(variants, folder)
    for before in (compare.main, verdict.main):
        _in(made, before)()
    return _in(made, show.main)


def _variants(count: int, folder: Path) -> Path:
    """A project of so many variants whose figures are all those of one that ran."""
    made, names = folder / "clone", [f"simclr{number:03}" for number in range(count)]
    shutil.copytree(folder.parent / "finished", made, symlinks=True)
    suite: dict[str, Any] = {"variants": {name: {"method": "simclr"} for name in names}}
    project.edit(made, f"{files.SUITES}/{SUITE}.yaml", lambda content: content.update(suite))
    project.run(made, "-m", "tasks.configure")
    for name in names:
        for kind in ("cells", "figures"):
            shutil.copytree(made / kind / "simclr-0", made / kind / f"{name}-0")
    return made


def _finished(into: Path) -> None:
    """A suite of one cell that ran."""
    suite: dict[str, Any] = {"seeds": [0], "variants": {"simclr": None}, "defaults": {"pretraining": {"epochs": 0.1}}}
    made = project.clone(into, SUITE, suite)
    project.edit(made, files.PARAMS, lambda content: content.update(images=["shapes"]))
    project.run(made, "-m", "flows.repro")


def _in(made: Path, work: Work) -> Work:
    def inside() -> None:
        with chdir(made), redirect_stdout(sys.stderr):
            work()

    return inside


IMAGES, PIXELS, CELLS, VARIANTS = "images", "pixels of a side", "cells", "variants"
LINES = {
    line.stage: line
    for line in (
        Line(
            stage="prepare, of files", grows_with=IMAGES, sizes=(10_000, 30_000, 100_000), small=(1_000, 2_000),
            ready=preparing_files,
        ),
        Line(
            stage="pretrain, 100 batches from disk", grows_with=IMAGES, sizes=(10**5, 10**6, 10**7),
            small=(10**3, 10**4), ready=a_hundred_batches,
        ),
        Line(stage="embed", grows_with=IMAGES, sizes=(3_000, 10_000, 30_000), small=(64, 128), ready=embedding),
        Line(
            stage=f"probe, k-NN of {QUERIES:,}", grows_with=IMAGES, sizes=(10**4, 10**5, 10**6), small=(100, 200),
            ready=nearest,
        ),
        Line(
            stage="probe, the linear one", grows_with=IMAGES, sizes=(10**4, 10**5, 10**6), small=(100, 200),
            ready=probe,
        ),
        Line(
            stage="probe, shares of the labels", grows_with="label shares", sizes=(1, 3, 10), small=(1, 2),
            ready=probe_of_shares,
        ),
        Line(stage="views", grows_with=PIXELS, sizes=(28, 56, 112, 224), small=(16, 32), ready=views_of_pixels),
        Line(
            stage="pretrain, a step", grows_with=PIXELS, sizes=(28, 56, 112, 224), small=(16, 32), ready=step_of_pixels,
        ),
        Line(
            stage="embed, 512 images", grows_with=PIXELS, sizes=(28, 56, 112, 224), small=(16, 32),
            ready=embedding_of_pixels,
        ),
        Line(stage="configure", grows_with=CELLS, sizes=(6, 60, 600), small=(3, 6), ready=configuring),
        Line(stage="the flow's plan", grows_with=CELLS, sizes=(6, 60, 600), small=(3, 6), ready=planning),
        Line(stage="compare", grows_with=VARIANTS, sizes=(3, 30, 100), small=(1, 2), ready=comparing),
        Line(stage="report and record", grows_with=VARIANTS, sizes=(3, 30, 100), small=(1, 2), ready=showing),
    )
}  # fmt: skip


def section(quick: bool, stages: Sequence[str] = tuple(LINES)) -> Section:
    """The table; `quick` for a look at whether it works."""
    done = Section(
        title="Growth",
        measured=(
            "Each size in a process of its own. An exponent of 1 is as many times the time for as many times of what "
            "grows, between the two largest sizes; of pixels, whose number grows with the square of the side, 2 is."
        ),
        columns=["", "grows with", "sizes", "seconds", "peak memory, MiB", "exponent of seconds", "of memory"],
    )
    with tempfile.TemporaryDirectory() as scratch:
        if any(LINES[stage].grows_with == VARIANTS for stage in stages):
            _finished(Path(scratch) / "finished")
        for stage in stages:
            line = LINES[stage]
            sizes = line.small if quick else line.sizes
            points = [_point(stage, size, Path(scratch)) for size in sizes]
            seconds, memory = ([point[name] for point in points] for name in ("seconds", "peak"))
            done.rows.append([
                stage,
                line.grows_with,
                *(", ".join(texts) for texts in _texts(sizes, seconds, memory)),
                *(f"{exponent(sizes, values):.2f}" for values in (seconds, memory)),
            ])  # fmt: skip
            done.figures[stage] = {"sizes": [*sizes], "seconds": seconds, "peak_bytes": memory}
            print("|", " | ".join(done.rows[-1]), "|", file=sys.stderr, flush=True)
    return done


def _texts(sizes: Sequence[int], seconds: list[float], memory: list[float]) -> tuple[list[str], list[str], list[str]]:
    return [f"{size:,}" for size in sizes], [f"{s:.3g}" for s in seconds], [f"{m / 2**20:,.0f}" for m in memory]


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Of the power of the size by which a value grows, between the two largest sizes."""
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def _point(stage: str, size: int, scratch: Path) -> dict[str, float]:
    """Of a process of its own: its seconds and the bytes of its peak."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        command = [sys.executable, "-m", "benchmarks.growth", "--point", stage, str(size), folder]
        done = subprocess.run(command, cwd=project.PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{stage} of {size}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(stage: str, size: int, folder: Path) -> dict[str, float]:
    """Do the work of a size in this process."""
    work = LINES[stage].ready(size, folder)
    PEAK.write_text("5")  # the peak begins anew
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return {"seconds": seconds, "peak": 1024.0 * int(line.split()[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description="How time and memory grow with images, pixels, cells and variants.")
    parser.add_argument("--quick", action="store_true", help="a look at whether it works")
    parser.add_argument("--stages", default=";".join(LINES), help="some alone, with semicolons between")
    parser.add_argument("--point", nargs=3, metavar=("STAGE", "SIZE", "FOLDER"), help="one size, in this process")
    options = parser.parse_args()
    if options.point:
        stage, size, folder = options.point
        torch.set_num_threads(os.cpu_count() or 1)
        print(json.dumps(measure(stage, int(size), Path(folder))))
    else:
        print(section(options.quick, options.stages.split(";")).markdown())


if __name__ == "__main__":
    main()
