"""The whole iteration on a device: images/s, share of the measured peak, of the views, and memory.

Eager, compiled, captured in a CUDA graph, and both. The peak is what a large bf16 matrix product reaches on this very
device; operations are counted on the real modules by PyTorch, a forward and a backward pass as three forward passes.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import timing
from benchmarks.page import Report, Section
from benchmarks.timing import Spread
from benchmarks.workload import PLAIN, images, simclr, views
from ssl_core import cost
from ssl_core.augmentation import Augment
from ssl_core.backbones import BackboneConfig, ResNetConfig, ViTConfig
from ssl_core.evaluation.embedding import on_device
from ssl_core.heads import ProjectorConfig
from ssl_core.training import optimiser as optimisation
from ssl_core.training.iteration import WARM_UP, Acceleration, Iteration
from ssl_core.training.optimiser import AdamWConfig


@dataclass(frozen=True, kw_only=True)
class Case:
    """A backbone, the images' side in pixels, and images a step."""

    name: str
    backbone: BackboneConfig
    side: int
    batch: int


CASES = {
    "resnet18": Case(name="ResNet-18", backbone=ResNetConfig(name="resnet18"), side=32, batch=512),
    "resnet50": Case(name="ResNet-50", backbone=ResNetConfig(name="resnet50", stem="imagenet"), side=224, batch=256),
    "vit": Case(
        name="ViT-S/16", backbone=ViTConfig(name="vit", patch=16, width=384, depth=12, heads=6), side=224, batch=256
    ),
}
TINY = Case(name="ResNet-10", backbone=ResNetConfig(name="resnet10", width=8), side=16, batch=16)
PROJECTOR = ProjectorConfig(layers=2, width=2048, output=128)
COLUMNS = ["", "images/s: median (least–greatest)", "share of peak", "share of the views", "peak memory, GiB"]


def accelerations(device: torch.device) -> dict[str, Acceleration]:
    """The ways to run an iteration; those that are slow to begin come last."""
    if device.type != "cuda":
        return {"eager": Acceleration()}
    return {
        "eager": Acceleration(),
        "captured": Acceleration(captured=True),
        "compiled": Acceleration(compiled=True),
        "compiled and captured": Acceleration(compiled=True, captured=True),
    }


def table(case: Case, device: torch.device, left: Callable[[], float], report: Report) -> None:
    """The table of a case; a way that fails or does not fit in the time left is said."""
    peak = matrix_product_rate(device)
    flops = training_flops(case)
    done = Section(
        title=f"The iteration of {case.name}, {case.side} px",
        measured=(
            f"SimCLR, batch {case.batch}, views made in the step, bf16: images/s of two views. The peak is "
            f"{peak / 1e12:.1f} TFLOP/s, measured; an image costs {flops / 1e9:.2f} GFLOP."
        ),
        columns=COLUMNS,
        figures={"peak_flops": peak, "flops_per_image": flops},
    )
    longest = 0.0
    for name, acceleration in accelerations(device).items():
        before = left()
        if before < longest:
            done.rows.append([name, "not done: no time left", "", "", ""])
        else:
            done.rows.append([name, *_row(case, acceleration, device, done, name)])
        longest = max(longest, before - left())
        report(done)


def _row(case: Case, acceleration: Acceleration, device: torch.device, done: Section, name: str) -> list[str]:
    try:
        figures = done.figures[name] = measure(case, acceleration, device)
    except Exception as error:  # whatever breaks one way, the others still count
        return [f"failed: {type(error).__name__}: {str(error).strip()[:120]}".replace("\n", " "), "", "", ""]
    rate, memory = Spread.of(figures["images_per_second"]), figures["peak_memory_bytes"]
    share = rate.median * done.figures["flops_per_image"] / done.figures["peak_flops"]
    return [rate.text(), f"{share:.1%}", f"{figures['views_share']:.1%}", f"{memory / 2**30:.1f}" if memory else ""]


def measure(case: Case, acceleration: Acceleration, device: torch.device) -> dict[str, Any]:
    """Images/s in each round, the views' share of an iteration, and the largest allocation."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    batch = on_device_images(case.batch, case.side, device)
    iteration = build(case, acceleration, device)
    for _ in range(WARM_UP + 2):
        iteration(batch)
    (probe,) = timing.seconds(lambda: iteration(batch), 1, device)
    times = max(1, min(50, int(0.5 / probe)))
    rounds = timing.seconds(lambda: [iteration(batch) for _ in range(times)], 5, device)
    per_step = Spread.of(rounds).median / times
    return {
        "images_per_second": [times * case.batch / each for each in rounds],
        "views_share": views_seconds(iteration.augment, batch, acceleration.captured) / per_step,
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def build(case: Case, acceleration: Acceleration, device: torch.device) -> Iteration:
    """An iteration of SimCLR, ready to be called."""
    objective = simclr(case.backbone, case.side, PROJECTOR)
    on_device(objective, device).train()
    optimiser = optimisation.build(AdamWConfig(), objective)
    optimisation.set_rate(optimiser, 1e-4)
    augment = views(PLAIN, compiled=acceleration.compiled)
    return Iteration(objective, augment, optimiser, torch.Generator(device).manual_seed(0), acceleration=acceleration)


def on_device_images(count: int, side: int, device: torch.device) -> Tensor:
    """uint8 [count, 3, side, side] on the device, channels-last."""
    return torch.from_numpy(images(count, side)).to(device).permute(0, 3, 1, 2)


def views_seconds(augment: Augment, batch: Tensor, captured: bool) -> float:
    """Median seconds to make the views of a batch by themselves."""
    generator = torch.Generator(batch.device).manual_seed(0)
    make: Callable[[], object] = partial(augment, batch, generator)
    for _ in range(3):
        make()
    if captured:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            augment(batch, generator)
        make = graph.replay
    return Spread.of(timing.seconds(make, 10, batch.device)).median


def matrix_product_rate(device: torch.device) -> float:
    """Operations per second of a large bf16 matrix product: the best of ten."""
    size = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / min(timing.seconds(lambda: a @ b, 13, device)[3:])


def training_flops(case: Case) -> float:
    """Operations of a step by the image."""
    return cost.step_flops(simclr(case.backbone, case.side, PROJECTOR), [PLAIN], case.side, case.batch)
