"""A pretraining whose curve is sent to MLflow while it runs, beside one whose curve is not: images a second.

The stage watches pretrainings of more than a minute; here the courier begins at once, and has all of its own start to
do in half a minute.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import chdir, nullcontext
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks import timing
from benchmarks.page import Section
from benchmarks.pretraining import CASE, CPU
from benchmarks.workload import PLAIN, images, simclr, views
from ssl_core.evaluation.embedding import on_device
from ssl_core.training.batches import Resident
from ssl_core.training.pretraining import PretrainingConfig, pretrain
from tasks.cells import Cell
from tasks.configuration import files
from tasks.tracking import live
from tasks.tracking.live import Live

PROJECT = Path(__file__).parent.parent
ALONE, SENT = "without MLflow", "its curve sent to MLflow"
RECORD_EVERY = 10
"""As params.yaml has it."""


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    steps, rounds = (2, 1) if quick else (24, 3)
    rates = measure(steps, rounds)
    kept = timing.ratio(rates[SENT], rates[ALONE])
    return Section(
        title="Recording",
        measured=(
            f"SimCLR as above, {steps} steps, recorded every {RECORD_EVERY}; the store is SQLite: images/s, end of "
            f"recording included, {rounds} rounds in turns."
        ),
        columns=["", "images/s: median (least–greatest)", f"times {ALONE}"],
        rows=timing.rate_rows(rates, ALONE),
        meaning=f"Being watched leaves {kept.text('.3f')} of the rate.",
    )


def measure(steps: int, rounds: int) -> dict[str, list[float]]:
    """Images per second of both in each round."""
    short = live.SHORT_SECONDS
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        YAML().dump({"tracking": {"uri": None}}, Path(files.PARAMS))
        live.SHORT_SECONDS = 0.0
        paths = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = f"{PROJECT}{os.pathsep}{paths}"
        try:
            return timing.take_turns(_contenders(steps), rounds)
        finally:
            live.SHORT_SECONDS, os.environ["PYTHONPATH"] = short, paths


def _contenders(steps: int) -> dict[str, Callable[[], int]]:
    pixels = images(CASE.batch, CASE.side)
    config = PretrainingConfig(epochs=steps, batch_size=CASE.batch, record_every=RECORD_EVERY)
    augment, runs = views(PLAIN), iter(range(10**6))

    def run(watched: bool) -> int:
        objective = simclr(CASE.backbone, CASE.side, CASE.projector)
        on_device(objective, CPU)
        cell = Cell(variant="simclr", seed=next(runs))
        with live.live(cell, f"{cell.seed:016x}", "drawn") if watched else nullcontext() as to:

            def record(step: int, _: float, values: dict[str, float]) -> None:
                if isinstance(to, Live):
                    to.record(step, values)

            pretrain(objective, Resident([pixels], CPU), None, augment, config, 0, record, None)
        return steps * CASE.batch

    return {ALONE: lambda: run(False), SENT: lambda: run(True)}


if __name__ == "__main__":
    print(section(quick=False).markdown())
