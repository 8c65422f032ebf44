"""Solarise: the light pixels of some images are inverted (BYOL, arXiv:2006.07733, appendix B)."""

import torch
from torch import Tensor

THRESHOLD = 128 / 255


def solarise(images: Tensor, chosen: Tensor) -> Tensor:
    """Invert what is lighter than the middle in the chosen images (bool [N]) of float [N, C, H, W]."""
    # No pixel reaches infinity, so the other images stay as they are.
    threshold = torch.where(chosen, THRESHOLD, torch.inf)[:, None, None, None]
    return torch.where(images >= threshold, 1 - images, images)
