"""A queue of embeddings of past batches."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Queue(nn.Module):
    """The last `size` embeddings, scaled to length 1, the newest first: float32 [size, D]; at first random ones."""

    rows: Tensor

    def __init__(self, size: int, embedding_size: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(size, embedding_size), dim=1))

    @torch.no_grad()
    def push(self, z: Tensor) -> None:
        """Put embeddings [N, D] in front, those of all processes, and drop as many of the oldest."""
        self.rows.copy_(torch.cat([F.normalize(z.float(), dim=1), self.rows])[: len(self.rows)])

    def forward(self) -> Tensor:
        """The rows, as a copy: what a loss has taken its gradients from may not change before the backward pass."""
        return self.rows.clone()


def check_whole_batches(key: str, size: int, batch_size: int) -> None:
    """Raise ValueError, naming the nearest sizes, where a queue does not hold whole batches."""
    if size < 1 or size % batch_size:
        below, above = size // batch_size * batch_size, (size // batch_size + 1) * batch_size
        nearest = f"{below} or {above}" if below > 0 else str(batch_size)
        raise ValueError(f"{key} is {size}; it must hold whole batches of {batch_size} images: take {nearest}")
