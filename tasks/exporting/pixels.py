"""A kept network behind its normalisation, so that it takes images as they are stored."""

import torch
from torch import Tensor, nn

from tasks.weights import Kept


class FromPixels(nn.Module):
    """RGB pixels uint8 [B, 3, H, W], 0..255, of the kept image size, to representations float32 [B, D].

    The type tells the range: an image in 0..1 cannot be given by mistake.
    """

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.network = kept.network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", 255 * torch.tensor(kept.mean)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(kept.std)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """What the network makes of the standardised images."""
        return self.network((pixels.float() - self.mean) / self.std)


def example(kept: Kept) -> Tensor:
    """Two black images, uint8 [2, 3, H, W]: a graph that is made of one alone would take one alone."""
    return torch.zeros(2, 3, kept.image_size, kept.image_size, dtype=torch.uint8)
