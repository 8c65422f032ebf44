"""The recipe: which operations make the views of an image, with their ranges."""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Generator, Tensor

from ssl_core.augmentation.blur import GaussianBlur, blur
from ssl_core.augmentation.chance import check_probability, chosen
from ssl_core.augmentation.crop import RandomResizedCrop, resized_crop
from ssl_core.augmentation.flip import flip
from ssl_core.augmentation.greyscale import greyscale
from ssl_core.augmentation.jitter import ColourJitter, jitter
from ssl_core.augmentation.mask import PatchMask
from ssl_core.augmentation.solarise import solarise


class Draws(NamedTuple):
    """What was drawn for one view of N images; every tensor begins with N, and None is an operation switched off."""

    boxes: Tensor | None
    flipped: Tensor | None
    factors: Tensor | None
    order: Tensor | None
    grey: Tensor | None
    sigma: Tensor | None
    solarised: Tensor | None
    hidden: Tensor | None

    def rows(self, start: int, stop: int | None, step: int = 1) -> "Draws":
        """The draws of the images start, start + step … before `stop`."""
        return Draws(*(None if drawn is None else drawn[start:stop:step] for drawn in self))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One kind of views, made in this order of operations; None or probability 0 switches an operation off.

    `views` is how many views of this kind each image gets; `flip`, `greyscale` and `solarise` are probabilities. `size`
    is the side of the views in pixels, that of the images by default: the crop scales to it. Views smaller than the
    image are local views (multi-crop; SwAV, arXiv:2006.09882). The mask hides patches of the finished view.
    """

    views: int = 2
    size: int | None = None
    crop: RandomResizedCrop | None = field(default_factory=RandomResizedCrop)
    flip: float = 0.5
    jitter: ColourJitter | None = field(default_factory=ColourJitter)
    greyscale: float = 0.2
    blur: GaussianBlur | None = None
    solarise: float = 0.0
    mask: PatchMask | None = None

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ValueError(f"views must be 1 or more, not {self.views}.")
        for name in ("flip", "greyscale", "solarise"):
            check_probability(name, getattr(self, name))
        if self.size is not None and self.size < 4:
            raise ValueError(f"size is a side in pixels and must be 4 or more, not {self.size}.")
        if self.size is not None and self.crop is None:
            raise ValueError(f"size is {self.size}, which needs a crop: the crop scales to it.")
        if self.size is not None and self.mask is not None:
            self.mask.check_side(self.size)

    def check_images(self, side: int) -> None:
        """Raise ValueError where images of this side in pixels cannot have these views."""
        if self.size is not None and self.size >= side:
            raise ValueError(f"size is {self.size}; a local view is smaller than the images of {side} pixels.")
        if self.mask is not None:
            self.mask.check_side(self.size or side)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> Draws:
        """Draw the parameters of one view of `count` images of this height and width."""
        boxes = self.crop.draw(count, height, width, generator) if self.crop else None
        flipped = chosen(self.flip, count, generator) if self.flip else None
        factors, order = self.jitter.draw(count, generator) if self.jitter else (None, None)
        grey = chosen(self.greyscale, count, generator) if self.greyscale else None
        sigma = self.blur.draw(count, generator) if self.blur else None
        solarised = chosen(self.solarise, count, generator) if self.solarise else None
        hidden = self.mask.draw(count, self.size or height, self.size or width, generator) if self.mask else None
        return Draws(boxes, flipped, factors, order, grey, sigma, solarised, hidden)


def shape(images: Tensor, draws: Draws, size: int | None = None) -> Tensor:
    """Crop and flip float [N, 3, H, W]: the result has that form, or [N, 3, size, size]."""
    if draws.boxes is not None:
        return resized_crop(images, draws.boxes, draws.flipped, size)
    return flip(images, draws.flipped) if draws.flipped is not None else images


def colour(view: Tensor, draws: Draws, place: int) -> Tensor:
    """Jitter, greyscale, blur and solarise float [N, 3, H, W] in [0, 1]; a new tensor.

    `place` is the hue's among the jitter's four operations.
    """
    if draws.factors is not None and draws.order is not None:
        view = jitter(view, draws.factors, draws.order, place)
    if draws.grey is not None:
        view = greyscale(view, draws.grey)
    if draws.sigma is not None:
        view = blur(view, draws.sigma)
    if draws.solarised is not None:
        view = solarise(view, draws.solarised)
    return view
