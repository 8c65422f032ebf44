"""The views of a batch, made on the batch's device."""

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor

from ssl_core.augmentation.normalise import colour_planes, standardise_
from ssl_core.augmentation.recipe import Recipe, apply

PIXELS_PER_THREAD = 2**16
"""Pixels that one CPU thread works on at a time, so that they stay in its cache; measured with benchmarks/views.py."""


class Augment:
    """Makes a recipe's views of batches of images, standardised by the data's mean and standard deviation."""

    def __init__(self, recipe: Recipe, mean: Sequence[float], std: Sequence[float]) -> None:
        """`mean` and `std` are those of the three colours, in 0..1."""
        self.recipe = recipe
        self.mean = tuple(mean)
        self.std = tuple(std)

    @torch.no_grad()
    def __call__(self, images: Tensor, generator: Generator, share: tuple[int, int] = (0, 1)) -> list[Tensor]:
        """Make the views; the same generator state gives the same views.

        Args:
            images: uint8 [B, 3, H, W], channels-last.
            generator: on the images' device; all the randomness.

        Returns:
            `recipe.views` tensors float32 [B, 3, H, W], channels-last, standardised.

        Raises:
            ValueError: the images have another form.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"views are made of uint8 images [B, 3, H, W], not {images.dtype} {list(images.shape)}.")
        count, _, height, width = images.shape
        rank, ranks = share
        drawn = [self.recipe.draw(ranks * count, height, width, generator) for _ in range(self.recipe.views)]
        draws = [d.rows(rank * count, (rank + 1) * count) for d in drawn]
        views = [torch.empty(images.shape, device=images.device, memory_format=torch.channels_last) for _ in draws]
        # Half-precision matrix products would lose a grey level.
        with torch.autocast(images.device.type, enabled=False):
            for start, stop in _chunks(images):
                planes = colour_planes(images[start:stop])
                for view, drawn in zip(views, draws, strict=True):
                    made = apply(planes, drawn.rows(start, stop))
                    view[start:stop] = standardise_(made, self.mean, self.std)
        return views


def _chunks(images: Tensor) -> Iterator[tuple[int, int]]:
    """First and one-past-last image of each piece of work: the whole batch, or on a CPU what fits in the cache."""
    count, _, height, width = images.shape
    size = count
    if images.device.type == "cpu":
        # A multiple of four keeps every image's place modulo four, on which the jitter's order depends.
        size = max(4, PIXELS_PER_THREAD * torch.get_num_threads() // (height * width) // 4 * 4)
    for start in range(0, count, max(size, 1)):
        yield start, min(start + size, count)
