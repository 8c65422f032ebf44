"""Horizontal flip. With a crop the flip is part of the crop's matrices; this is the flip without one."""

import torch
from torch import Tensor


def flip(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror the chosen images (`flipped`, bool [N]) of float [N, C, H, W] left to right; a new tensor."""
    return torch.where(flipped[:, None, None, None], images.flip(-1), images)
