"""A convolutional decoder from the representation back to a map of the image."""

import math
from typing import Literal

from torch import Tensor, nn


class Decoder(nn.Module):
    """Representations [B, D] to maps [B, channels, S, S] of images of `image_size` pixels.

    It begins with a map of features of 1/4 of the image's size. With a `reduction` of 1 that is upsampled twice, and S
    is the image size; with 4 it keeps its size, and S is a quarter of the image size, rounded up.
    """

    def __init__(
        self, representation_size: int, image_size: int, width: int, channels: int = 3, reduction: Literal[1, 4] = 1
    ) -> None:
        super().__init__()
        self.start = math.ceil(image_size / 4)
        self.side = image_size if reduction == 1 else self.start
        self.seed = nn.Linear(representation_size, width * self.start**2)
        if reduction == 1:
            doubling = nn.Upsample(scale_factor=2)
            layers = [doubling, *_features(width, width), doubling, *_features(width, width // 2)]
            last = nn.Conv2d(width // 2, channels, 3, padding=1)
        else:
            layers = _features(width, width)
            last = nn.Conv2d(width, channels, 3, padding=1)
        self.body = nn.Sequential(*layers, last)

    def forward(self, h: Tensor) -> Tensor:
        """Decoded maps, cut to their size."""
        grid = self.seed(h).unflatten(1, (self.start, self.start, -1)).permute(0, 3, 1, 2)
        return self.body(grid)[..., : self.side, : self.side]


def _features(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
