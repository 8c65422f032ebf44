"""Gaussian blur with a kernel of about a tenth of the image (SimCLR, arXiv:2002.05709, appendix A)."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ssl_core.augmentation.chance import check_probability, chosen, uniform
from ssl_core.augmentation.separable import filter_sides


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
    taps = torch.arange(-radius, radius + 1, device=images.device)
    # So narrow a Gaussian is 0 outside the middle pixel: the kernel that changes nothing.
    kernels = torch.exp(-0.5 * (taps / sigma[:, None].clamp(min=0.01)) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    rows = _bands(kernels, height)
    columns = rows if width == height else _bands(kernels, width)
    return filter_sides(images, rows, columns)


def _bands(kernels: Tensor, size: int) -> Tensor:
    """float [N, size, size]: the matrices that convolve a side of `size` pixels with kernels [N, taps]."""
    taps = kernels.shape[1]
    pixels = torch.arange(size, device=kernels.device)
    sources = torch.arange(taps, device=kernels.device)[:, None] - taps // 2 + pixels
    mirrored = size - 1 - (size - 1 - sources.abs()).abs()
    places = (mirrored[:, :, None] == pixels).to(kernels.dtype)
    return (kernels @ places.view(taps, -1)).view(-1, size, size)
