"""Views per second beside other libraries: `python -m benchmarks.views`.

All make SimCLR's two views of the same images. The contenders take turns, so that a busy machine slows all of them
alike, and images per second of processor time are compared: what one core makes. kornia, stable-pretraining and lightly
take part where they can be imported.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.transforms import functional, v2

from benchmarks import recipes, workload
from benchmarks.workload import STRONG

Run = Callable[[], int]


class Row(NamedTuple):
    """A contender's median images per second of processor time, two views each, and half the quartiles' distance.

    Both are None where the contender is not installed.
    """

    size: int
    name: str
    rate: float | None
    spread: float | None


def stored(count: int, size: int) -> Tensor:
    """uint8 [count, 3, size, size], channels-last, smoother than noise."""
    small = torch.randint(0, 256, (count, size // 4, size // 4, 3), dtype=torch.uint8)
    return small.repeat_interleave(4, 1).repeat_interleave(4, 2).permute(0, 3, 1, 2)


def ours(images: Tensor, compiled: bool) -> Run:
    augment, generator = workload.views(STRONG, compiled=compiled), torch.Generator().manual_seed(0)

    def run() -> int:
        augment(images, generator)
        return len(images)

    return run


def per_image(transform: Callable[[Any], object], sources: list[Any], calls: int = 2) -> Run:
    """A transform of one image, called as often as it takes for two views."""

    def run() -> int:
        for source in sources:
            for _ in range(calls):
                transform(source)
        return len(sources)

    return run


def torchvision_pipeline(images: Tensor, pictures: bool) -> Run:
    few = list(images[: max(16, len(images) // 16)])
    first = [v2.ToImage()] if pictures else []
    transform = v2.Compose([*recipes.torchvision(STRONG, images.shape[-1]), *first, *recipes.as_tensor()])
    return per_image(transform, [functional.to_pil_image(image) for image in few] if pictures else few)


def kornia(images: Tensor) -> Run:
    transform, batch = recipes.kornia(STRONG, images.shape[-1]), images[:128].contiguous()

    def run() -> int:
        for _ in range(2):
            transform(batch.float() / 255)
        return len(batch)

    return run


def stable_pretraining(images: Tensor) -> Run:
    transform, batch = recipes.stable_pretraining(STRONG, images.shape[-1]), images[:128].contiguous()

    def run() -> int:
        transform({"image": batch.float() / 255})
        return len(batch)

    return run


def lightly(images: Tensor) -> Run:
    # One call makes both views.
    transform = recipes.lightly(STRONG, images.shape[-1])
    return per_image(transform, [functional.to_pil_image(image) for image in images[:16]], calls=1)


CONTENDERS: dict[str, Callable[[Tensor], Run]] = {
    "stopgrad (eager)": partial(ours, compiled=False),
    "stopgrad (compiled)": partial(ours, compiled=True),
    "torchvision PIL": partial(torchvision_pipeline, pictures=True),
    "torchvision tensor": partial(torchvision_pipeline, pictures=False),
    "kornia (batched)": kornia,
    "stable-pretraining (kornia, both views at once)": stable_pretraining,
    "lightly": lightly,
}


def measure(size: int, batch: int, repeats: int) -> list[Row]:
    """A row for each contender, on images of this side, with the threads that torch is set to."""
    images, runs = stored(batch, size), {}
    for name, make in CONTENDERS.items():
        try:
            runs[name] = make(images)
        except ImportError:
            runs[name] = None
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            started = time.process_time()
            count = run() if run else 0
            if repeat and run:  # the first round warms up and compiles
                rates[name].append(count / (time.process_time() - started))
    return [_row(size, name, measured) for name, measured in rates.items()]


def _row(size: int, name: str, rates: list[float]) -> Row:
    if not rates:
        return Row(size, name, None, None)
    low, middle, high = statistics.quantiles(rates, n=4)
    return Row(size, name, middle, (high - low) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Images (two views each) per second of processor time.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 96], help="sides of the images in pixels")
    parser.add_argument("--batch", type=int, default=512, help="images in a batch")
    parser.add_argument("--repeats", type=int, default=15, help="rounds (2 or more); the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"images/s of one core, two SimCLR views each, torch {torch.__version__}, {platform.machine()}")
    print(f"{'px':>4} {'contender':<48} {'images/s':>9} {'spread':>8} {'x torchvision PIL':>18}")
    for size in options.sizes:
        rows = measure(size, options.batch, options.repeats)
        slowest = next(row.rate for row in rows if row.name == "torchvision PIL")
        for _, name, rate, spread in rows:
            if rate is None or spread is None or slowest is None:
                print(f"{size:>4} {name:<48} not installed")
            else:
                print(f"{size:>4} {name:<48} {rate:>9,.0f} ± {spread:>6,.0f} {rate / slowest:>17.1f}x", flush=True)


if __name__ == "__main__":
    main()
