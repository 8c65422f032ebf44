"""Images pretrained on per second, views included: Stopgrad's loop beside loops of other libraries' own parts.

All pretrain SimCLR with the same backbone, batch, recipe and sizes of projector on the same images (`loops`).
"""

import os
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import loops, timing
from benchmarks.page import Section
from benchmarks.sharing import SMALL as CASE
from benchmarks.workload import PLAIN, images, simclr, views
from ssl_core.evaluation.embedding import on_device
from ssl_core.training.batches import Resident
from ssl_core.training.iteration import Acceleration
from ssl_core.training.pretraining import PretrainingConfig, pretrain

CPU = torch.device("cpu")
OURS, COMPILED, THEIRS = "stopgrad", "stopgrad, compiled", "lightly's parts"
HALF = "bf16 and channels-last"


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    steps, rounds = (2, 1) if quick else (12, 4)
    workers = os.cpu_count() or 1
    rates = timing.take_turns(contenders(images(steps * CASE.batch, CASE.side), workers), rounds)
    reference = THEIRS if THEIRS in rates else OURS
    return Section(
        title="Pretraining, end to end",
        measured=(
            f"SimCLR, ResNet-10 of width 16 with the small stem, {CASE.side} px, batch {CASE.batch}, projector "
            f"256-128, the default recipe (crop .2-1, flip, jitter, grey): images/s, {rounds} rounds of {steps} steps "
            f"in turns. Stopgrad: bf16, channels-last. {loops.DESCRIBED} {workers} workers; float32 where no format is "
            "named."
        ),
        columns=["", "images/s: median (least–greatest)", f"times {reference}"],
        rows=timing.rate_rows(rates, reference),
        meaning=meaning(rates, reference),
        figures=dict(rates),
    )


def meaning(rates: dict[str, list[float]], reference: str) -> str:
    """Ours beside the reference, and beside the fastest of the others."""
    gain, compiled = (timing.ratio(rates[name], rates[reference]).text(".1f") for name in (OURS, COMPILED))
    if reference == OURS:
        return "No other library is installed here: nothing is compared."
    return (
        f"Stopgrad pretrains on {gain} times as many images a second as a loop of lightly's parts, compiled {compiled} "
        "times. Its row in float32, and theirs in bf16, say what the number format has in it, and what the views. "
        f"{timing.against_the_best(rates, COMPILED)}"
    )


def contenders(pixels: np.ndarray, workers: int) -> dict[str, Callable[[], int]]:
    """Those that take turns; others as far as they are installed."""
    runs: dict[str, Callable[[], int]] = {
        OURS: ours(pixels, Acceleration()),
        COMPILED: ours(pixels, Acceleration(compiled=True)),
        f"{OURS}, float32": ours(pixels, Acceleration(precision=torch.float32)),
    }
    for name, loop in loops.installed().items():
        runs[name] = loop(CASE, pixels, workers, torch.float32, CPU)
        runs[f"{name}, {HALF}"] = loop(CASE, pixels, workers, torch.bfloat16, CPU)
    return runs


def ours(pixels: np.ndarray, acceleration: Acceleration) -> Callable[[], int]:
    """An epoch of `ssl_core`'s loop. Losses and diagnostics are recorded twice, at its first step and its last."""
    objective = simclr(CASE.backbone, CASE.side, CASE.projector)
    on_device(objective, CPU)
    augment = views(PLAIN, compiled=acceleration.compiled)
    config = PretrainingConfig(epochs=1, batch_size=CASE.batch, record_every=10**6)
    resident = Resident([pixels], CPU)

    def epoch() -> int:
        pretrain(objective, resident, None, augment, config, 0, lambda *_: None, None, acceleration)
        return len(pixels)

    return epoch


def main() -> None:
    from argparse import ArgumentParser

    parser = ArgumentParser(description="Images pretrained on per second, beside lightly.")
    parser.add_argument("--quick", action="store_true", help="a look at whether it works")
    print(section(parser.parse_args().quick).markdown())


if __name__ == "__main__":
    main()
