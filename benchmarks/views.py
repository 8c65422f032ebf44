"""Views per second beside torchvision's per-image transforms: `python -m benchmarks.views`.

Both make the default recipe's two views of the same images. The contenders take turns, so that a busy machine slows all
of them alike, and the medians are compared. torchvision's pipelines are what a data loader's worker runs.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import functional, v2
from torchvision.transforms.v2 import Transform

from ssl_core.augmentation import Augment, Recipe
from ssl_core.augmentation.blur import kernel_radius

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def torchvision_recipe(recipe: Recipe, size: int) -> list[Transform]:
    """The same operations as per-image torchvision transforms, up to the conversion to a float tensor."""
    assert recipe.crop is not None
    assert recipe.jitter is not None
    assert recipe.blur is not None
    jitter = recipe.jitter
    strengths = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    blur = v2.GaussianBlur(2 * kernel_radius(size, size) + 1, recipe.blur.sigma)
    return [
        v2.RandomResizedCrop(size, recipe.crop.scale, recipe.crop.ratio, antialias=True),
        v2.RandomHorizontalFlip(recipe.flip),
        v2.RandomApply([v2.ColorJitter(*strengths)], jitter.probability),
        v2.RandomGrayscale(recipe.greyscale),
        v2.RandomApply([blur], recipe.blur.probability),
    ]


def contenders(images: Tensor) -> dict[str, Callable[[], int]]:
    """Functions that make two views of some of the images and return of how many."""
    recipe = Recipe()
    augment = Augment([recipe], MEAN, STD)
    generator = torch.Generator().manual_seed(0)
    few = images[: max(16, len(images) // 16)]
    pictures = [functional.to_pil_image(image) for image in few]
    operations = torchvision_recipe(recipe, images.shape[-1])
    as_float = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    of_picture = v2.Compose([*operations, v2.ToImage(), *as_float])
    of_tensor = v2.Compose([*operations, *as_float])

    def ours() -> int:
        augment(images, generator)
        return len(images)

    def per_image(transform: v2.Compose, sources: list) -> int:
        for source in sources:
            transform(source)
            transform(source)
        return len(sources)

    return {
        "stopgrad": ours,
        "torchvision PIL": lambda: per_image(of_picture, pictures),
        "torchvision tensor": lambda: per_image(of_tensor, list(few)),
    }


def rates(images: Tensor, repeats: int) -> dict[str, float]:
    """Median images per second of each contender."""
    runs = contenders(images)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            count = run()
            if repeat:  # the first round warms up
                seconds[name].append((time.perf_counter() - started) / count)
    return {name: 1 / statistics.median(each) for name, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Images per second (two views each) beside torchvision.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 32, 96], help="sides of the images in pixels")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="CPU threads")
    parser.add_argument("--batch", type=int, default=512, help="images in a batch")
    parser.add_argument("--repeats", type=int, default=15, help="rounds; the median counts")
    options = parser.parse_args()
    print(f"images/s, two views each, default recipe, torch {torch.__version__}, {platform.machine()}")
    print(f"{'px':>4} {'threads':>7} {'contender':<20} {'images/s':>9} {'stopgrad is':>12}")
    for size in options.sizes:
        stored = torch.randint(0, 256, (options.batch, size // 4, size // 4, 3), dtype=torch.uint8)
        images = stored.repeat_interleave(4, 1).repeat_interleave(4, 2).permute(0, 3, 1, 2)
        for threads in options.threads:
            torch.set_num_threads(threads)
            measured = rates(images, options.repeats)
            for name, rate in measured.items():
                print(
                    f"{size:>4} {threads:>7} {name:<20} {rate:>9.0f} {measured['stopgrad'] / rate:>11.1f}x", flush=True
                )


if __name__ == "__main__":
    main()
