"""Seconds from a process's start to the end of its first compiled step, with an empty cache and in the next process.

Inductor keeps what it has compiled in a folder (`TORCHINDUCTOR_CACHE_DIR`; by default below /tmp), from which a second
cell of the same shapes takes it. The eager start stands beside: it is what compiling is added to.
"""

import os
import subprocess
import sys
import tempfile
import time

import torch

from benchmarks import step
from benchmarks.page import Section
from benchmarks.part import Figures, Part, Setting
from benchmarks.sharing import SMALL
from benchmarks.step import build, on_device_images
from benchmarks.timing import Spread, finish
from ssl_core.training.iteration import Acceleration

STARTS = {"eager": "eager", "compiled, nothing cached": "compiled", "compiled, the next cell": "compiled"}


def section(quick: bool) -> Section:
    """The table; `quick` for a look at whether it works."""
    return _table("cpu", measure(1 if quick else 3, quick, "cpu"))


def part(setting: Setting) -> Part:
    """One piece."""
    device = setting.device.type
    return Part(
        pieces={"starts": lambda: measure(1, setting.tiny, device)},
        section=lambda figures: _table(device, figures.get("starts", {})),
    )


def measure(rounds: int, tiny: bool, device: str) -> Figures:
    """Seconds of each kind of start in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            for name, way in STARTS.items():
                seconds[name].append(_start(way, tiny, device, cache))
    return dict(seconds)


def _table(device: str, seconds: Figures) -> Section:
    return Section(
        title="The start of a compiled cell",
        measured=(
            f"SimCLR, {SMALL.name}, {SMALL.side} px, batch {SMALL.batch}, {device}: seconds from the process's start "
            "to the end of its first step."
        ),
        columns=["", "seconds: median (least–greatest)"],
        rows=[[name, Spread.of(each).text(".1f")] for name, each in seconds.items()],
        figures=seconds,
    )


def _start(way: str, tiny: bool, device: str, cache: str) -> float:
    command = [sys.executable, "-m", "benchmarks.compiling", way, device, *(["tiny"] if tiny else [])]
    begun = time.perf_counter()
    subprocess.run(command, check=True, env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache})
    return time.perf_counter() - begun


def first_step(way: str, device: torch.device, tiny: bool) -> None:
    """Build a cell and make one step."""
    case = step.TINY if tiny else SMALL
    iteration = build(case, Acceleration(compiled=way == "compiled"), device)
    iteration(on_device_images(case.batch, case.side, device))
    finish(device)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [way, device, *tiny]:
            first_step(way, torch.device(device), bool(tiny))
        case _:
            print(section(quick=False).markdown())
