"""From stored bytes to what a network sees, and back for pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor


def colour_planes(images: Tensor) -> Tensor:
    """float32 [N, 3, H, W] in [0, 1], contiguous, of uint8 [N, 3, H, W] in any memory order.

    With each colour apart, arithmetic on a CPU is several times faster than between interleaved colours.
    """
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def standardise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract each colour's mean and divide by its standard deviation; a new tensor."""
    planes = zip(images.unbind(1), mean, std, strict=True)
    return torch.stack([(plane - centre).mul_(1 / spread) for plane, centre, spread in planes], dim=1)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """float32 [N, 3, H, W], channels-last, standardised, of uint8 [N, 3, H, W]: the image itself, not a view of it."""
    return standardise(colour_planes(images), mean, std).contiguous(memory_format=torch.channels_last)


def denormalise(views: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 [N, 3, H, W] of standardised float [N, 3, H, W]: the picture that a network saw."""
    planes = [plane * spread + centre for plane, centre, spread in zip(views.float().unbind(1), mean, std, strict=True)]
    return torch.stack(planes, dim=1).mul_(255).round_().clamp_(0, 255).to(torch.uint8)
