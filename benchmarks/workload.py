"""The networks, views and images that are measured."""

from dataclasses import dataclass

import numpy as np
import torch

from ssl_core import backbones, objectives
from ssl_core.augmentation import Augment, ColourJitter, GaussianBlur, RandomResizedCrop, Recipe
from ssl_core.backbones import BackboneConfig
from ssl_core.heads import ProjectorConfig
from ssl_core.objectives import Objective
from ssl_core.objectives.simclr import SimCLRConfig


@dataclass(frozen=True, kw_only=True)
class Case:
    """A backbone, the images' side in pixels, images a step, and the projector."""

    name: str
    backbone: BackboneConfig
    side: int
    batch: int
    projector: ProjectorConfig


MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

PLAIN = Recipe(
    crop=RandomResizedCrop(scale=(0.2, 1.0)),
    jitter=ColourJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, probability=0.8),
    blur=None,
)
"""The default recipe of params.yaml."""

STRONG = Recipe(
    crop=RandomResizedCrop(scale=(0.08, 1.0)),
    jitter=ColourJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, probability=0.8),
    blur=GaussianBlur(),
)
"""SimCLR's recipe."""


def views(
    recipe: Recipe, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD, compiled: bool = False
) -> Augment:
    """What makes a recipe's views: the benchmarks' only call of `Augment`."""
    return Augment([recipe], mean, std, compiled=compiled)


def images(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures, uint8 [N, side, side, 3]: noise of an eighth of the side, enlarged."""
    coarse = torch.rand(count, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, size=side, mode="bilinear")
    return (fine * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def simclr(backbone: BackboneConfig, side: int, projector: ProjectorConfig, seed: int = 0) -> Objective:
    """SimCLR around a backbone; the seed decides the initial weights."""
    torch.manual_seed(seed)
    config = SimCLRConfig(name="simclr", projector=projector)
    return objectives.build(config, backbones.build(backbone, side), side, 0)
