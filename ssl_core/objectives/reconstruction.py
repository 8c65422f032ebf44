"""How far a restored image is from the clean one: four answers, the Euclidean distance the plainest.

l2, l1: the mean over pixels of the squared, of the absolute difference.

ssim: 1 - mean SSIM (Wang et al., 2004, IEEE Transactions on Image Processing 13, equation 13). With mean m, variance
s^2 and covariance s_xy of two images in a Gaussian window of 11 x 11 pixels and standard deviation 1.5:

    SSIM = (2 m_x m_y + C1) (2 s_xy + C2) / ((m_x^2 + m_y^2 + C1) (s_x^2 + s_y^2 + C2))
    C1 = (0.01 L)^2, C2 = (0.03 L)^2

averaged over the windows that lie inside the image, as in the authors' code: pixels at the border count less. The
paper's pixels are in [0, L]. Ours are standardised: -2 is taken for black and 2 for white, which they are where the
mean is 0.5 and the standard deviation 0.25, so that L is 4. Deviation: each colour channel by itself; the paper has
grey images.

features: the mean squared difference of the features of a small convolutional network with random weights, summed over
three scales. Images can be restored from such features (He, Wang and Hopcroft, 2016, arXiv:1606.04801), and a trained
network would bring other images' knowledge. Deviations: their network is VGG with random layers chosen among several;
this one has three 3 x 3 convolutions with ReLU, of 32, 64 and 128 channels, and averages 2 x 2 positions between them.
Its weights are the same in every run and never change.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.objectives.objective import in_float32

Reconstruction = Literal["l2", "l1", "ssim", "features"]

BLACK, WHITE = -2.0, 2.0
"""The extremes of standardised pixels, about."""

WINDOW, SIGMA = 11, 1.5
CHANNELS = (3, 32, 64, 128)


def distance(kind: Reconstruction) -> Callable[[Tensor, Tensor], Tensor]:
    """The distance of restored and clean images [B, 3, H, W]: a float32 scalar, averaged over the batch."""
    match kind:
        case "l2":
            return l2
        case "l1":
            return l1
        case "ssim":
            return ssim
        case "features":
            return Features()


@in_float32
def l2(restored: Tensor, clean: Tensor) -> Tensor:
    """The mean squared error."""
    return F.mse_loss(restored, clean)


@in_float32
def l1(restored: Tensor, clean: Tensor) -> Tensor:
    """The mean absolute error."""
    return F.l1_loss(restored, clean)


@in_float32
def ssim(restored: Tensor, clean: Tensor) -> Tensor:
    """1 - mean SSIM: 0 for the same images, 2 at most."""
    x, y = restored - BLACK, clean - BLACK
    c1, c2 = (0.01 * (WHITE - BLACK)) ** 2, (0.03 * (WHITE - BLACK)) ** 2
    mean_x, mean_y = windowed(x), windowed(y)
    variances = windowed(x * x) - mean_x**2 + windowed(y * y) - mean_y**2
    covariance = windowed(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return 1 - (luminance * (2 * covariance + c2) / (variances + c2)).mean()


def windowed(maps: Tensor) -> Tensor:
    """The Gaussian windows' means [..., H - 10, W - 10] of maps [..., H, W], as two products with banded matrices."""
    return bands(maps.shape[-2], maps.device) @ maps @ bands(maps.shape[-1], maps.device).T


def bands(size: int, device: torch.device) -> Tensor:
    """Row i has the window's weights, which sum to 1, from column i on: [size - 10, size]."""
    offset = torch.arange(size, device=device) - torch.arange(size - WINDOW + 1, device=device)[:, None]
    weight = torch.exp(-((offset - WINDOW // 2) ** 2) / (2 * SIGMA**2)) * ((offset >= 0) & (offset < WINDOW))
    return weight / weight.sum(dim=1, keepdim=True)


class Features(nn.Module):
    """The distance of images in the features of a fixed random network; its weights are buffers."""

    fine: Tensor
    middle: Tensor
    coarse: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name, inputs, outputs in zip(("fine", "middle", "coarse"), CHANNELS, CHANNELS[1:], strict=False):
            filters = torch.randn(outputs, inputs, 3, 3, generator=generator)
            self.register_buffer(name, filters * (2 / (9 * inputs)) ** 0.5)

    def forward(self, restored: Tensor, clean: Tensor) -> Tensor:
        """The distance, with gradients to the images only."""
        return feature_distance(restored, clean, self.fine, self.middle, self.coarse)


@in_float32
def feature_distance(restored: Tensor, clean: Tensor, *filters: Tensor) -> Tensor:
    """The mean squared difference of features, summed over the scales; filters [outputs, inputs, 3, 3], fine to coarse.

    A ReLU's filters of variance 2 / inputs (He initialisation) leave the features about as large at every scale.
    """
    x, y = restored, clean
    differences = []
    for scale, weights in enumerate(filters):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        x, y = F.conv2d(x, weights, padding=1).relu(), F.conv2d(y, weights, padding=1).relu()
        differences.append(F.mse_loss(x, y))
    return torch.stack(differences).sum()
