"""Colour jitter: brightness, contrast, saturation and hue, in a random order (SimCLR, arXiv:2002.05709, appendix A)."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ssl_core.augmentation.chance import check_probability, chosen, uniform
from ssl_core.augmentation.greyscale import luminance
from ssl_core.augmentation.hue import turn_hue

CONTRAST, SATURATION, HUE = 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """How far the colours move: factors are uniform in 1 ± strength (never below 0), the hue turns within ± `hue`.

    The strengths mean what torchvision's `ColorJitter` means by them. `probability` is the share of images that are
    jittered at all.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    probability: float = 0.8

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a number from 0 up, not {getattr(self, name)}.")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue must be between 0 and 0.5 turns of the colour circle, not {self.hue}.")
        check_probability("probability", self.probability)

    def draw(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Factors float [count, 4] (brightness, contrast, saturation, hue) and order int64 [count, 3].

        An image that is not jittered has the factors 1, 1, 1, 0. The order says in which order brightness (0),
        contrast (1) and saturation (2) come.
        """
        factors = [
            uniform(max(0, 1 - strength), 1 + strength, (count,), generator)
            for strength in (self.brightness, self.contrast, self.saturation)
        ]
        factors.append(uniform(-self.hue, self.hue, (count,), generator))
        order = uniform(0, 1, (count, 3), generator).argsort(1)
        jittered = chosen(self.probability, count, generator)
        neutral = (1.0, 1.0, 1.0, 0.0)
        drawn = [torch.where(jittered, factor, same) for factor, same in zip(factors, neutral, strict=True)]
        return torch.stack(drawn, 1), order


def jitter(images: Tensor, factors: Tensor, order: Tensor, place: int) -> Tensor:
    """Jitter each image by its own factors in its own order; a new tensor.

    Brightness, contrast and saturation are one blend with per-image coefficients, so their order is free for each
    image. The hue is the dear operation: it is computed once, and `place` (0 to 3) of the others come before it for all
    images given. `Augment` gives image i of a batch the place i mod 4, so that all 24 orders occur, each as often as
    the others. Batches are shuffled, so that is as good as drawing it for one view, and shapes stay fixed; the views of
    one image share the place. (One fixed order for all would move photographs by 1.0 of 255 levels in the mean at the
    default strengths, and by 3.4 at SimCLR's 0.8, 0.8, 0.8, 0.2.)

    Args:
        images: float [N, 3, H, W] in [0, 1].
        factors, order: from `ColourJitter.draw`.
        place: of the hue, 0 first to 3 last.
    """
    ordered = factors.gather(1, order)
    of_mean = (1 - ordered) * (order == CONTRAST)
    of_grey = (1 - ordered) * (order == SATURATION)
    for blend in range(4):
        if blend == place:
            images = turn_hue(images, factors[:, HUE])
        if blend < 3:
            images = _blend(images, ordered[:, blend], of_mean[:, blend], of_grey[:, blend])
    return images


def _blend(images: Tensor, factor: Tensor, of_mean: Tensor, of_grey: Tensor) -> Tensor:
    """Mix each image, by its factor, with shares of its mean grey and of each pixel's own grey (all [N]).

    Contrast takes its share from the mean and saturation from the pixel; brightness takes none, that is black.
    """
    grey = luminance(images)
    mean = grey.mean((1, 2))
    other = grey.mul_(of_grey[:, None, None]).add_((mean * of_mean)[:, None, None])
    return (images * factor[:, None, None, None]).add_(other[:, None]).clamp_(0, 1)
