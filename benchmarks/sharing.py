"""Several small cells on one device: images/s of all together when 1, 2, 4 and 8 processes share it.

The processes are started once; in each round the first few work and the others wait. CUDA's MPS is left as it is.
"""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import torch

from benchmarks.page import Report, Section
from benchmarks.step import TINY, Case, build, on_device_images
from benchmarks.timing import finish
from ssl_core.backbones import ResNetConfig
from ssl_core.training.iteration import WARM_UP, Acceleration

SMALL = Case(name="ResNet-10, width 16", backbone=ResNetConfig(name="resnet10", width=16), side=32, batch=256)
STARTING_SECONDS = 60.0


def table(tiny: bool, device: torch.device, left: Callable[[], float], report: Report) -> None:
    """The table: eager, and captured where there is CUDA."""
    counts = [1, 2] if tiny else [1, 2, 4, 8]
    case, seconds = (TINY, 0.2) if tiny else (SMALL, 4.0)
    done = Section(
        title=f"Small cells that share a device: {case.name}, {case.side} px",
        measured=f"SimCLR, batch {case.batch}, {seconds:g} s each: images/s of all processes together.",
        columns=["", *(f"{count} process{'es' * (count > 1)}" for count in counts), "gain"],
    )
    for captured in [False, True] if device.type == "cuda" else [False]:
        name = "captured" if captured else "eager"
        if left() < STARTING_SECONDS / 2 + seconds * len(counts):
            done.rows.append([name, *["not done"] * len(counts), ""])
        else:
            totals = together(case, counts, captured, seconds, device)
            done.figures[name] = dict(zip(map(str, counts), totals, strict=True))
            done.rows.append([name, *(f"{total:,.0f}" for total in totals), f"{max(totals) / totals[0]:.1f}"])
        report(done)


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
