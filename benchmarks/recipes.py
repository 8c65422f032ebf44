"""A recipe of ours in other libraries' transforms: each makes its views of the same operations and ranges.

They are imported where they are asked for: none is needed for the rest.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import Transform

from benchmarks.workload import MEAN, STD
from ssl_core.augmentation import Recipe
from ssl_core.augmentation.blur import kernel_radius


def torchvision(recipe: Recipe, side: int) -> list[Transform]:
    """Operations on one image, PIL's or uint8 [3, H, W], up to the conversion to float."""
    assert recipe.crop
    made: list[Transform] = [v2.RandomResizedCrop(side, recipe.crop.scale, antialias=True), v2.RandomHorizontalFlip()]
    if recipe.jitter:
        made.append(v2.RandomApply([v2.ColorJitter(*_jitter(recipe))], recipe.jitter.probability))
    made.append(v2.RandomGrayscale(recipe.greyscale))
    if recipe.blur:
        blur = v2.GaussianBlur(2 * kernel_radius(side, side) + 1, recipe.blur.sigma)
        made.append(v2.RandomApply([blur], recipe.blur.probability))
    return made


def as_tensor() -> list[Transform]:
    """From uint8 to a standardised float tensor."""
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]


def lightly(recipe: Recipe, side: int) -> Callable[[Any], list[Tensor]]:
    """Both views of a PIL image."""
    theirs: Any = importlib.import_module("lightly.transforms")
    assert recipe.crop
    assert recipe.jitter
    return theirs.SimCLRTransform(
        input_size=side,
        cj_prob=recipe.jitter.probability,
        cj_strength=1.0,
        **dict(zip(("cj_bright", "cj_contrast", "cj_sat", "cj_hue"), _jitter(recipe), strict=True)),
        min_scale=recipe.crop.scale[0],
        random_gray_scale=recipe.greyscale,
        gaussian_blur=recipe.blur.probability if recipe.blur else 0.0,
        normalize={"mean": list(MEAN), "std": list(STD)},
    )


def kornia(recipe: Recipe, side: int) -> torch.nn.Module:
    """One view of a batch, float [N, 3, H, W] in 0..1."""
    theirs: Any = importlib.import_module("kornia.augmentation")
    assert recipe.crop
    made = [theirs.RandomResizedCrop((side, side), scale=recipe.crop.scale), theirs.RandomHorizontalFlip()]
    if recipe.jitter:
        made.append(theirs.ColorJitter(*_jitter(recipe), p=recipe.jitter.probability))
    made.append(theirs.RandomGrayscale(p=recipe.greyscale))
    if recipe.blur:
        width = 2 * kernel_radius(side, side) + 1
        made.append(theirs.RandomGaussianBlur((width, width), recipe.blur.sigma, p=recipe.blur.probability))
    return torch.nn.Sequential(*made, theirs.Normalize(MEAN, STD))


def stable_pretraining(recipe: Recipe, side: int) -> torch.nn.Module:
    """Both views of a batch under "image", float [N, 3, H, W] in 0..1, as a list under "views"; by kornia, stacked."""
    theirs: Any = importlib.import_module("stable_pretraining.data.gpu_transforms")
    assert recipe.crop
    made = [theirs.GPURandomResizedCrop(side, scale=recipe.crop.scale), theirs.GPURandomHorizontalFlip()]
    if recipe.jitter:
        made.append(theirs.GPUColorJitter(*_jitter(recipe), p=recipe.jitter.probability))
    made.append(theirs.GPURandomGrayscale(p=recipe.greyscale))
    if recipe.blur:
        width = 2 * kernel_radius(side, side) + 1
        made.append(theirs.GPUGaussianBlur(width, recipe.blur.sigma, p=recipe.blur.probability))
    return theirs.StackedMultiView(theirs.GPUCompose([*made, theirs.GPUNormalize(MEAN, STD)]))


def _jitter(recipe: Recipe) -> tuple[float, float, float, float]:
    assert recipe.jitter
    return recipe.jitter.brightness, recipe.jitter.contrast, recipe.jitter.saturation, recipe.jitter.hue
