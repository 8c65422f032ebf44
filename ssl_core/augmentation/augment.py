"""The views of a batch, made on the batch's device."""

from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Generator, Tensor

from ssl_core.augmentation.mask import hide, places
from ssl_core.augmentation.normalise import colour_planes, standardise
from ssl_core.augmentation.recipe import Draws, Recipe, colour, shape
from ssl_core.augmentation.view import View

PIXELS_PER_THREAD = 2**18
"""Pixels that one CPU thread works on at a time, so that they stay in its cache; measured with benchmarks/views.py."""

PLACES = 4
"""Places that the hue has among the jitter's operations: image i of a batch has it at place i modulo this."""


class Augment:
    """Makes views of batches of images, of one or several kinds, standardised by the data's mean and deviation."""

    def __init__(
        self, recipes: Sequence[Recipe], mean: Sequence[float], std: Sequence[float], *, compiled: bool = False
    ) -> None:
        """`mean` and `std` are those of the three colours, in 0..1.

        `compiled` makes the same views through `torch.compile`: several times faster, after a compilation for every
        recipe and size of batch that takes some ten seconds and, on a CPU, needs a C++ compiler.
        """
        self.recipes = tuple(recipes)
        self.mean = tuple(mean)
        self.std = tuple(std)
        self._compiled = _compile() if compiled else None

    @torch.no_grad()
    def __call__(self, images: Tensor, generator: Generator, share: tuple[int, int] = (0, 1)) -> list[View]:
        """Make the views; the same generator state gives the same views.

        Nothing waits for the device, so that a CUDA graph can capture the call.

        Args:
            images: uint8 [B, 3, H, W], channels-last.
            generator: on the images' device; all the randomness.
            share: this process's rank and the number of ranks. The images are the rank's rows of a batch of ranks x B;
                with the same generator state on each, the ranks together make the views that one process would.

        Returns:
            The views of the recipes one after another, the images of each bfloat16 [B, 3, H, W] or
            [B, 3, size, size], channels-last, standardised.

        Raises:
            ValueError: the images have another form, or a recipe's patches do not divide the view.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"views are made of uint8 images [B, 3, H, W], not {images.dtype} {list(images.shape)}.")
        (count, _, height, width), (rank, ranks) = images.shape, share
        first = rank * count
        kinds = [recipe for recipe in self.recipes for _ in range(recipe.views)]
        draws = [kind.draw(ranks * count, height, width, generator).rows(first, first + count) for kind in kinds]
        views = [_empty(images, kind.size) for kind in kinds]
        # Half-precision matrix products would lose a grey level.
        with torch.autocast(images.device.type, enabled=False):
            for start, stop, whole in _chunks(images):
                planes = colour_planes(images[start:stop])
                # A last, smaller piece is not worth a compilation.
                make = self._compiled if self._compiled and whole else finished
                for kind, drawn, view in zip(kinds, draws, views, strict=True):
                    place = (first + start) % PLACES
                    groups = make(planes, drawn.rows(start, stop), kind.size, place, self.mean, self.std)
                    for offset, group in enumerate(groups):
                        view[start + offset : stop : PLACES] = group
        return [View(images, _visible(kind, drawn)) for kind, drawn, images in zip(kinds, draws, views, strict=True)]


def finished(
    planes: Tensor, draws: Draws, size: int | None, place: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> list[Tensor]:
    """One view of images float32 [N, 3, H, W] in [0, 1], the first of which has the hue at the given place.

    Returns:
        bfloat16, standardised, in groups of one place: of images 0, 4, 8 …; of 1, 5, 9 …; of 2, 6 …; of 3, 7 ….
    """
    shaped = shape(planes, draws, size)
    groups = []
    for offset in range(min(PLACES, len(planes))):
        drawn = draws.rows(offset, None, PLACES)
        view = standardise(colour(shaped[offset::PLACES], drawn, (place + offset) % PLACES), mean, std)
        if drawn.hidden is not None:
            view = hide(view, drawn.hidden)
        groups.append(view.to(torch.bfloat16))
    return groups


def _visible(kind: Recipe, drawn: Draws) -> Tensor | None:
    return None if kind.mask is None or drawn.hidden is None else places(drawn.hidden, kind.mask.share)


def _compile() -> Callable[..., list[Tensor]]:
    # A product and a sum may be one instruction, which rounds once: a tenth faster on a CPU.
    fused: dict[str, Any] = {"cpp.enable_floating_point_contract_flag": "fast"}
    # A code object of its own, so that another Augment's recipes do not count against its limit of recompilations.
    own = FunctionType(finished.__code__.replace(), finished.__globals__)
    return torch.compile(own, fullgraph=True, dynamic=False, options=fused)


def _empty(images: Tensor, size: int | None) -> Tensor:
    count, colours, height, width = images.shape
    form = (count, colours, size or height, size or width)
    return torch.empty(form, dtype=torch.bfloat16, device=images.device, memory_format=torch.channels_last)


def _chunks(images: Tensor) -> Iterator[tuple[int, int, bool]]:
    """First and one-past-last image of each piece of work, and whether it is as large as the others.

    The whole batch, or on a CPU what fits in the cache.
    """
    count, _, height, width = images.shape
    size = count
    if images.device.type == "cpu":
        # A multiple of the places, so that every piece begins with the same one and is the same program.
        # With fewer than 16 images, calls cost more than the cache saves.
        fitting = max(4, PIXELS_PER_THREAD * torch.get_num_threads() // (height * width) // PLACES) * PLACES
        size = min(count, fitting)
    for start in range(0, count, max(size, 1)):
        stop = min(start + size, count)
        yield start, stop, stop - start == size
