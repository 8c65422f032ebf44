"""The whole iteration on a device: images/s, share of the measured peak, of the views, and memory.

Eager, compiled, captured in a CUDA graph, and both. The peak is what a large bf16 matrix product reaches on this very
device; operations are counted on the real modules by PyTorch.
"""

import gc
import os
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks import loops, timing
from benchmarks.page import Section
from benchmarks.part import Figures, Part, Setting
from benchmarks.timing import Spread
from benchmarks.workload import PLAIN, Case, images, simclr, views
from ssl_core import cost
from ssl_core.augmentation import Augment
from ssl_core.backbones import ResNetConfig, ViTConfig
from ssl_core.evaluation.embedding import on_device
from ssl_core.heads import ProjectorConfig
from ssl_core.training import optimiser as optimisation
from ssl_core.training.iteration import WARM_UP, Acceleration, Iteration
from ssl_core.training.optimiser import AdamWConfig

PROJECTOR = ProjectorConfig(layers=2, width=2048, output=128)
CASES = {
    "resnet18": Case(name="ResNet-18", backbone=ResNetConfig(name="resnet18"), side=32, batch=512, projector=PROJECTOR),
    "resnet50": Case(
        name="ResNet-50",
        backbone=ResNetConfig(name="resnet50", stem="imagenet"),
        side=224,
        batch=256,
        projector=PROJECTOR,
    ),
    "vit": Case(
        name="ViT-S/16",
        backbone=ViTConfig(name="vit", patch=16, width=384, depth=12, heads=6),
        side=224,
        batch=256,
        projector=PROJECTOR,
    ),
}
TINY = Case(name="ResNet-10", backbone=ResNetConfig(name="resnet10", width=8), side=16, batch=16, projector=PROJECTOR)
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


def part(case: Case, setting: Setting) -> Part:
    """One piece a way to run our iteration, then one a loop of others' parts, as far as they are installed."""
    case = TINY if setting.tiny else case
    device = setting.device
    pieces: dict[str, Callable[[], Figures]] = {
        name: lambda chosen=chosen: measure(case, chosen, device) for name, chosen in accelerations(device).items()
    }
    for name, loop in loops.installed().items():
        pieces[name] = lambda loop=loop: measure_loop(case, loop, device)
    return Part(pieces=pieces, section=lambda figures: section(case, figures))


def section(case: Case, figures: dict[str, Figures]) -> Section:
    """The table of a case."""
    rows = []
    for name, each in figures.items():
        rate, memory = Spread.of(each["images_per_second"]), each["peak_memory_bytes"]
        share = rate.median * each["flops_per_image"] / each["peak_flops"]
        views = f"{each['views_share']:.1%}" if "views_share" in each else ""
        rows.append([name, rate.text(), f"{share:.1%}", views, f"{memory / 2**30:.1f}" if memory else ""])
    peak = max((each["peak_flops"] for each in figures.values()), default=0)
    flops = max((each["flops_per_image"] for each in figures.values()), default=0)
    return Section(
        title=f"The iteration of {case.name}, {case.side} px",
        measured=(
            f"SimCLR, batch {case.batch}, views made in the step, bf16: images/s of two views. The peak is "
            f"{peak / 1e12:.1f} TFLOP/s, measured; an image costs {flops / 1e9:.2f} GFLOP. {loops.DESCRIBED}"
        ),
        columns=COLUMNS,
        rows=rows,
    )


def measure_loop(case: Case, loop: loops.Loop, device: torch.device) -> Figures:
    """Images/s of another library's parts, epoch by epoch."""
    begin_memory(device)
    steps = 2 if device.type == "cpu" else 24
    epoch = loop(case, images(steps * case.batch, case.side), os.cpu_count() or 1, torch.bfloat16, device)
    epoch()
    rounds = timing.seconds(epoch, 3, device)
    return {"images_per_second": [steps * case.batch / each for each in rounds], **costs(case, device)}


def measure(case: Case, acceleration: Acceleration, device: torch.device) -> Figures:
    """Images/s in each round, the views' share of an iteration, and the largest allocation."""
    begin_memory(device)
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
        **costs(case, device),
    }


def begin_memory(device: torch.device) -> None:
    """Forget what was allocated before."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def costs(case: Case, device: torch.device) -> Figures:
    """The largest allocation, what the device could do at best, and what an image asks of it."""
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    flops = cost.step_flops(simclr(case.backbone, case.side, case.projector), [PLAIN], case.side, case.batch)
    peak = matrix_product_rate(device, 8192 if device.type == "cuda" else 512)
    return {"peak_memory_bytes": memory, "peak_flops": peak, "flops_per_image": flops}


def build(case: Case, acceleration: Acceleration, device: torch.device) -> Iteration:
    """An iteration of SimCLR, ready to be called."""
    objective = simclr(case.backbone, case.side, case.projector)
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


def matrix_product_rate(device: torch.device, size: int) -> float:
    """Operations per second of a bf16 product of `size` x `size`: the best of ten."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / min(timing.seconds(lambda: a @ b, 13, device)[3:])
