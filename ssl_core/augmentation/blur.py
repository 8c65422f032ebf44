"""Gaussian blur with a kernel of about a tenth of the image (SimCLR, arXiv:2002.05709, appendix A)."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ssl_core.augmentation.chance import check_probability, chosen, uniform


@dataclass(frozen=True, kw_only=True)
class GaussianBlur:
    """The share of images that are blurred, and the range of the Gaussian's standard deviation in pixels."""

    probability: float = 0.5
    sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        check_probability("probability", self.probability)
        if not 0 < self.sigma[0] <= self.sigma[1] < math.inf:
            raise ValueError(f"sigma must be two rising positive numbers of pixels, not {list(self.sigma)}.")

    def draw(self, count: int, generator: Generator) -> Tensor:
        """float [count]: each image's standard deviation in pixels, 0 where it is not blurred."""
        sigma = uniform(*self.sigma, (count,), generator)
        return sigma * chosen(self.probability, count, generator)


def kernel_radius(height: int, width: int) -> int:
    """Pixels on each side of the kernel's middle: SimCLR's tenth of the side, 3 x 3 at the least."""
    return max(1, min(height, width) // 20)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur float [N, C, H, W] by each image's `sigma` (float [N], pixels; 0 leaves it alone); a new tensor.

    The border is mirrored, as in torchvision's `gaussian_blur`.
    """
    height, width = images.shape[-2:]
    radius = kernel_radius(height, width)
    distances = torch.arange(radius + 1, device=images.device)
    # So narrow a Gaussian is 0 outside the middle pixel: the kernel that changes nothing.
    weights = torch.exp(-0.5 * (distances / sigma[:, None].clamp(min=0.01)) ** 2)
    weights /= weights[:, :1] + 2 * weights[:, 1:].sum(1, keepdim=True)
    return _smooth(_smooth(images, weights, 2), weights, 3)


def _smooth(images: Tensor, weights: Tensor, side: int) -> Tensor:
    """Convolve one side (2: vertical, 3: horizontal) with a symmetric kernel, the border mirrored.

    `weights` [N, 1 + radius] are those of the middle and of the pixels 1 … radius away from it.
    """
    radius, size = weights.shape[1] - 1, images.shape[side]
    before, after = images.narrow(side, 1, radius), images.narrow(side, size - 1 - radius, radius)
    # Compiled, this is several times faster than `pad`, whose indices are computed pixel by pixel.
    bordered = torch.cat([before.flip(side), images, after.flip(side)], dim=side)
    middle, *pairs = weights.T[:, :, None, None, None]
    smooth = images * middle
    for distance, weight in enumerate(pairs, start=1):
        neighbours = bordered.narrow(side, radius - distance, size) + bordered.narrow(side, radius + distance, size)
        smooth += neighbours.mul_(weight)
    return smooth
