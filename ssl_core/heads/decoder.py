"""A convolutional decoder from the representation back to the image."""

import math

from torch import Tensor, nn


class Decoder(nn.Module):
    """Representations [B, D] to images [B, 3, S, S]: a 1/4-size map of features, upsampled twice."""

    def __init__(self, representation_size: int, image_size: int, width: int) -> None:
        super().__init__()
        self.image_size, self.start = image_size, math.ceil(image_size / 4)
        self.seed = nn.Linear(representation_size, width * self.start**2)
        self.body = nn.Sequential(
            *_double(width, width), *_double(width, width // 2), nn.Conv2d(width // 2, 3, 3, padding=1)
        )

    def forward(self, h: Tensor) -> Tensor:
        """Decoded images, cut to the image size."""
        grid = self.seed(h).unflatten(1, (self.start, self.start, -1)).permute(0, 3, 1, 2)
        return self.body(grid)[..., : self.image_size, : self.image_size]


def _double(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [nn.Upsample(scale_factor=2), convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
