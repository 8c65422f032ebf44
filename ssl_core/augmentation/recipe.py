"""The recipe: which operations make the views of an image, with their ranges."""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Generator, Tensor

from ssl_core.augmentation.blur import GaussianBlur, blur
from ssl_core.augmentation.chance import check_probability, chosen
from ssl_core.augmentation.crop import RandomResizedCrop, resized_crop
from ssl_core.augmentation.flip import flip
from ssl_core.augmentation.greyscale import greyscale_
from ssl_core.augmentation.jitter import ColourJitter, jitter_
from ssl_core.augmentation.solarise import solarise_


class Draws(NamedTuple):
    """What was drawn for one view of N images; every tensor begins with N, and None is an operation switched off."""

    boxes: Tensor | None
    flipped: Tensor | None
    factors: Tensor | None
    order: Tensor | None
    grey: Tensor | None
    sigma: Tensor | None
    solarised: Tensor | None

    def rows(self, start: int, stop: int) -> "Draws":
        """The draws of the images start … stop - 1."""
        return Draws(*(None if drawn is None else drawn[start:stop] for drawn in self))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The views of one image, made in this order of operations; None or probability 0 switches an operation off.

    `views` is how many views each image gets; `flip`, `greyscale` and `solarise` are probabilities.
    """

    views: int = 2
    crop: RandomResizedCrop | None = field(default_factory=RandomResizedCrop)
    flip: float = 0.5
    jitter: ColourJitter | None = field(default_factory=ColourJitter)
    greyscale: float = 0.2
    blur: GaussianBlur | None = field(default_factory=GaussianBlur)
    solarise: float = 0.0

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views must be 1 or more, not {self.views}.")
        for name in ("flip", "greyscale", "solarise"):
            check_probability(name, getattr(self, name))

    def draw(self, count: int, height: int, width: int, generator: Generator) -> Draws:
        """Draw the parameters of one view of `count` images."""
        boxes = self.crop.draw(count, height, width, generator) if self.crop else None
        flipped = chosen(self.flip, count, generator) if self.flip else None
        factors, order = self.jitter.draw(count, generator) if self.jitter else (None, None)
        grey = chosen(self.greyscale, count, generator) if self.greyscale else None
        sigma = self.blur.draw(count, generator) if self.blur else None
        solarised = chosen(self.solarise, count, generator) if self.solarise else None
        return Draws(boxes, flipped, factors, order, grey, sigma, solarised)


def apply(images: Tensor, draws: Draws) -> Tensor:
    """One view, a new float [N, 3, H, W] in [0, 1], of images of the same form, with the drawn parameters."""
    if draws.boxes is not None:
        view = resized_crop(images, draws.boxes, draws.flipped)
    elif draws.flipped is not None:
        view = flip(images, draws.flipped)
    else:
        view = images.clone()
    if draws.factors is not None and draws.order is not None:
        jitter_(view, draws.factors, draws.order)
    if draws.grey is not None:
        greyscale_(view, draws.grey)
    if draws.sigma is not None:
        view = blur(view, draws.sigma)
    if draws.solarised is not None:
        solarise_(view, draws.solarised)
    return view
