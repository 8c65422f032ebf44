"""Views: batched augmentation with per-image random parameters."""

from ssl_core.augmentation.augment import Augment
from ssl_core.augmentation.blur import GaussianBlur
from ssl_core.augmentation.crop import RandomResizedCrop
from ssl_core.augmentation.jitter import ColourJitter
from ssl_core.augmentation.mask import PatchMask
from ssl_core.augmentation.normalise import denormalise, normalise
from ssl_core.augmentation.recipe import Recipe
from ssl_core.augmentation.view import View

__all__ = [
    "Augment",
    "ColourJitter",
    "GaussianBlur",
    "PatchMask",
    "RandomResizedCrop",
    "Recipe",
    "View",
    "denormalise",
    "normalise",
]
