"""Several small cells on one device: images/s of all together when 1, 2, 4 and 8 processes share it.

The processes are started once; in each round the first few work and the others wait. CUDA's MPS is left as it is.
"""

import multiprocessing
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import torch

from benchmarks.page import Section
from benchmarks.part import Figures, Part, Setting
from benchmarks.step import TINY, build, on_device_images
from benchmarks.timing import finish
from benchmarks.workload import Case
from ssl_core.backbones import ResNetConfig
from ssl_core.heads import ProjectorConfig
from ssl_core.training.iteration import WARM_UP, Acceleration

SMALL = Case(
    name="ResNet-10, width 16",
    backbone=ResNetConfig(name="resnet10", width=16),
    side=32,
    batch=256,
    projector=ProjectorConfig(layers=2, width=256, output=128),
)
STARTING_SECONDS = 60.0


def part(setting: Setting) -> Part:
    """One piece eager, one captured where there is CUDA."""
    counts = [1, 2] if setting.tiny else [1, 2, 4, 8]
    case, seconds = (TINY, 0.2) if setting.tiny else (SMALL, 4.0)

    def measured(captured: bool) -> Figures:
        totals = together(case, counts, captured, seconds, setting.device)
        return dict(zip(map(str, counts), totals, strict=True))

    pieces = {"eager": lambda: measured(False)}
    if setting.device.type == "cuda":
        pieces["captured"] = lambda: measured(True)
    return Part(pieces=pieces, section=lambda figures: section(case, counts, seconds, figures))


def section(case: Case, counts: list[int], seconds: float, figures: dict[str, Figures]) -> Section:
    """The table; one process at a time is what cells in turn reach."""
    return Section(
        title=f"Small cells that share a device: {case.name}, {case.side} px",
        measured=f"SimCLR, batch {case.batch}, {seconds:g} s each: images/s of all processes together.",
        columns=["", *(f"{count} at once" if count > 1 else "in turn" for count in counts), "times in turn"],
        rows=[
            [name, *(f"{each[str(count)]:,.0f}" for count in counts), f"{each[str(counts[-1])] / each['1']:.1f}"]
            for name, each in figures.items()
        ],
    )


def together(case: Case, counts: list[int], captured: bool, seconds: float, device: torch.device) -> list[float]:
    """Images/s of all, for each number of processes at work."""
    context = multiprocessing.get_context("spawn")
    barrier, rates = context.Barrier(max(counts)), context.Queue()
    processes = [
        context.Process(
            target=work, args=(number, case, counts, captured, seconds, device, barrier, rates), daemon=True
        )
        for number in range(max(counts))
    ]
    for process in processes:
        process.start()
    try:
        found = [rates.get(timeout=2 * STARTING_SECONDS) for _ in range(sum(counts))]
    finally:
        for process in processes:
            process.join(timeout=10)
            process.kill()
    return [sum(rate for count, rate in found if count == wanted) for wanted in counts]


def work(
    number: int,
    case: Case,
    counts: list[int],
    captured: bool,
    seconds: float,
    device: torch.device,
    barrier: Barrier,
    rates: "Queue[tuple[int, float]]",
) -> None:
    """What each process does: its own images/s whenever its turn comes."""
    if device.type == "cpu":
        torch.set_num_threads(1)
    batch = on_device_images(case.batch, case.side, device)
    iteration = build(case, Acceleration(captured=captured), device)
    for _ in range(WARM_UP + 2):
        iteration(batch)
    for count in counts:
        finish(device)
        barrier.wait(2 * STARTING_SECONDS)
        if number < count:
            begun, steps = time.perf_counter(), 0
            while time.perf_counter() - begun < seconds:
                iteration(batch)
                steps += 1
                if steps % 10 == 0:  # the host must not run ahead by more
                    finish(device)
            finish(device)
            rates.put((count, steps * case.batch / (time.perf_counter() - begun)))
    barrier.wait(2 * STARTING_SECONDS)
