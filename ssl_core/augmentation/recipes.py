"""Recipes by name: three published ones, as the papers print them for large images, multi-crop, and masking alone.

Sizes follow the images. Every crop is scaled bilinearly and antialiased; SimCLR's, BYOL's and DINO's are bicubic.
"""

from collections.abc import Callable
from dataclasses import replace

from ssl_core.augmentation.blur import GaussianBlur
from ssl_core.augmentation.crop import RandomResizedCrop
from ssl_core.augmentation.jitter import ColourJitter
from ssl_core.augmentation.mask import PatchMask
from ssl_core.augmentation.recipe import Recipe


def simclr(image_size: int) -> tuple[Recipe, ...]:
    """Two views: small crops, strong colours (SimCLR, arXiv:2002.05709, appendix A)."""
    jitter = ColourJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    return (Recipe(crop=RandomResizedCrop(scale=(0.08, 1.0)), jitter=jitter, blur=GaussianBlur(probability=0.5)),)


def byol(image_size: int) -> tuple[Recipe, ...]:
    """Two views of two kinds, one blurred, one now and then solarised (BYOL, arXiv:2006.07733, table 6)."""
    jitter = ColourJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
    first = Recipe(
        views=1, crop=RandomResizedCrop(scale=(0.08, 1.0)), jitter=jitter, blur=GaussianBlur(probability=1.0)
    )
    return first, replace(first, blur=GaussianBlur(probability=0.1), solarise=0.2)


def weak(image_size: int) -> tuple[Recipe, ...]:
    """Two views by crop and flip alone, as masked autoencoders have one of (arXiv:2111.06377, section 4)."""
    return (Recipe(crop=RandomResizedCrop(scale=(0.2, 1.0)), jitter=None, greyscale=0.0, blur=None),)


def multi_crop(image_size: int) -> tuple[Recipe, ...]:
    """BYOL's two views of a large part, and four of half the side of a small part (DINO, arXiv:2104.14294).

    DINO's default is eight of 0.43 of the side, SwAV's six. The local views' side here is a multiple of 4, so that
    a transformer's patches of 4 pixels fill it.
    """
    whole = tuple(replace(kind, crop=RandomResizedCrop(scale=(0.25, 1.0))) for kind in byol(image_size))
    local = replace(
        whole[0],
        views=4,
        size=max(4, image_size // 8 * 4),
        crop=RandomResizedCrop(scale=(0.05, 0.25)),
        blur=GaussianBlur(probability=0.5),
    )
    return *whole, local


def mask_only(image_size: int) -> tuple[Recipe, ...]:
    """Two views by masking alone: three quarters of the patches are hidden, and nothing else happens."""
    nothing = Recipe(crop=None, flip=0.0, jitter=None, greyscale=0.0, blur=None)
    return (replace(nothing, mask=PatchMask(share=0.75, patch=4)),)


NAMED: dict[str, Callable[[int], tuple[Recipe, ...]]] = {
    "simclr": simclr,
    "byol": byol,
    "weak": weak,
    "multi_crop": multi_crop,
    "mask_only": mask_only,
}
"""What makes the kinds of views for images of a side in pixels, by the recipe's name."""
