"""Prototypes: learnt directions that embeddings are compared with."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Prototypes(nn.Module):
    """Embeddings [..., D] to their cosine similarities with `count` prototypes, float32 [..., count].

    Both are scaled to length 1 here, so that the prototypes' lengths are free and learn nothing.
    """

    def __init__(self, embedding_size: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.randn(count, embedding_size), dim=1))

    def forward(self, z: Tensor) -> Tensor:
        """The similarities, in [-1, 1]; in float32 under autocast too, as they are divided by small temperatures."""
        with torch.autocast(z.device.type, enabled=False):
            return F.normalize(z.float(), dim=-1) @ F.normalize(self.weight, dim=1).T
