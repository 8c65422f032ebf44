"""Whether a device computes what it should, before anything on it is timed."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import part as parts
from benchmarks.part import Figures, Part, Setting, Verdict
from benchmarks.short_run import BATCH, COUNT, EXACT, SIDE, STEPS, KilledError, compute_exactly, run
from benchmarks.workload import PLAIN, STD, STRONG, images, views
from ssl_core.augmentation import Recipe
from ssl_core.augmentation.recipe import Draws
from ssl_core.training.batches import Resident, Streamed, order
from ssl_core.training.iteration import Acceleration


def part(setting: Setting) -> Part:
    """One piece a check."""

    def piece(check: Callable[[torch.device], Verdict]) -> Callable[[], Figures]:
        def made() -> Figures:
            compute_exactly()
            return check(setting.device).figures()

        return made

    measured = f"Checked before anything is timed, {STEPS} steps of a ResNet-10 each."
    return Part(
        pieces={name: piece(check) for name, check in CHECKS.items()},
        section=lambda figures: parts.of_checks("Correctness on the device", measured, figures),
    )


class DrawnOnCpu(Recipe):
    """A recipe that draws the same on every device: on the CPU, from a seed."""

    def draw(self, count: int, height: int, width: int, generator: torch.Generator) -> Draws:
        drawn = super().draw(count, height, width, torch.Generator().manual_seed(0))
        return type(drawn)(*(None if each is None else each.to(generator.device) for each in drawn))


def views_agree(device: torch.device) -> Verdict:
    """Views of the device and of the CPU with the same draws, in grey levels."""
    if device.type == "cpu":
        return Verdict(None, "needs a device beside the CPU")
    means = []
    for recipe in (PLAIN, STRONG):
        augment = views(DrawnOnCpu(**vars(recipe)))
        pixels = torch.from_numpy(images(BATCH, SIDE)).permute(0, 3, 1, 2)
        here = augment(pixels, torch.Generator())[0].images.float()
        there = augment(pixels.to(device), torch.Generator(device))[0].images.float().cpu()
        means.append((here - there).abs().mean().item() * STD[0] * 255)
    return Verdict(max(means) < 0.5, f"mean difference {max(means):.4f} of 255")


def losses_agree(
    precision: torch.dtype, tolerance: float, compiled: bool, captured: bool
) -> Callable[[torch.device], Verdict]:
    """A check that an accelerated pretraining has the losses of an eager one."""

    def check(device: torch.device) -> Verdict:
        if device.type != "cuda":
            return Verdict(None, "needs CUDA")
        eager, _ = run(device, Acceleration(precision=precision))
        fast, _ = run(device, Acceleration(precision=precision, compiled=compiled, captured=captured))
        return _losses(eager, fast, tolerance)

    return check


def _losses(expected: list[float], found: list[float], tolerance: float) -> Verdict:
    difference = float(np.max(np.abs(np.divide(found, expected) - 1)))
    return Verdict(difference < tolerance, f"losses differ by at most {difference:.1e} (allowed {tolerance:g})")


def resumes(captured: bool) -> Callable[[torch.device], Verdict]:
    """A check that a killed pretraining ends with the weights of a whole one."""

    def check(device: torch.device) -> Verdict:
        if captured and device.type != "cuda":
            return Verdict(None, "needs CUDA")
        acceleration = Acceleration(precision=torch.float32, captured=captured)
        _, whole = run(device, acceleration)
        with tempfile.TemporaryDirectory() as folder:
            with contextlib.suppress(KilledError):
                run(device, acceleration, Path(folder), stop_at=STEPS // 2)
            _, resumed = run(device, acceleration, Path(folder))
        difference = ((whole - resumed).norm() / whole.norm()).item()
        return Verdict(difference < 1e-3, f"weights differ by {difference:.1e} of their way (allowed 0.001)")

    return check


def streamed_is_resident(device: torch.device) -> Verdict:
    """Batches read from disk and batches kept on the device."""
    parts = [images(COUNT, SIDE, seed) for seed in range(2)]
    pairs = zip(
        Streamed(parts, device).batches(order(2 * COUNT, BATCH, 0, STEPS, 0)),
        Resident(parts, device).batches(order(2 * COUNT, BATCH, 0, STEPS, 0)),
        strict=True,
    )
    equal = [torch.equal(streamed, resident) for (_, streamed), (_, resident) in pairs]
    return Verdict(all(equal), f"{sum(equal)} of {len(equal)} batches equal")


def halves_agree(device: torch.device) -> Verdict:
    """Two data-parallel processes have the losses of one."""
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        return Verdict(None, "needs two GPUs")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "losses.json"
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        command = [*torchrun, "-m", "benchmarks.short_run", str(file), device.type]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return Verdict(False, done.stderr[-300:].replace("\n", " "))
        return _losses(run(device, EXACT)[0], json.loads(file.read_text()), 1e-3)


CHECKS: dict[str, Callable[[torch.device], Verdict]] = {
    "the device's views are the CPU's": views_agree,
    "captured is eager, float32": losses_agree(torch.float32, 1e-3, compiled=False, captured=True),
    "compiled is eager, float32": losses_agree(torch.float32, 1e-3, compiled=True, captured=False),
    "compiled and captured is eager, float32": losses_agree(torch.float32, 1e-3, compiled=True, captured=True),
    "compiled and captured is eager, bf16": losses_agree(torch.bfloat16, 5e-3, compiled=True, captured=True),
    "a killed run resumes": resumes(captured=False),
    "a killed captured run resumes": resumes(captured=True),
    "streamed batches are resident ones": streamed_is_resident,
    "two processes are one": halves_agree,
}
