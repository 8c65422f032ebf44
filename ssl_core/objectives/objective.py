"""The contract between a self-supervised method and the training loop."""

from collections.abc import Callable
from functools import wraps
from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_core.backbones import Backbone


class Objective(nn.Module):
    """A self-supervised method: its networks and the loss that it minimises.

    Every objective is built as `Objective(config, backbone, image_size, classes)`. It takes `views` views of the
    image's size, and where `local_views` is true any number of smaller ones.
    """

    family: ClassVar[str]
    views: ClassVar[int]
    local_views: ClassVar[bool] = False

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, views: list[Tensor], labels: Tensor | None = None) -> dict[str, Tensor]:
        """Weighted loss terms (float32 scalars) by name; pretraining minimises their sum.

        `views`: normalised images [B, 3, H, W], one tensor a view, bfloat16 as `Augment` makes them: what reads their
        pixels other than through a network makes them float32 first. `labels` [B] reach the supervised baseline
        alone: the loop has none to give to any other.
        """
        raise NotImplementedError

    def after_step(self, progress: float) -> None:
        """Move what is not trained by gradients (teacher, temperature, queue); `progress` is in [0, 1]."""

    @property
    def encoder(self) -> Backbone:
        """The backbone that is evaluated and kept."""
        return self.backbone

    def pictures(self, views: list[Tensor]) -> dict[str, Tensor]:
        """What the method sees and makes, to be looked at: normalised images [rows, columns, 3, H, W] by name."""
        return {}


def in_float32(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compute a loss on embeddings in float32: autocast would take its matrix products back to bfloat16."""

    @wraps(loss)
    def computed(*embeddings: Tensor, **settings: float) -> Tensor:
        with torch.autocast(embeddings[0].device.type, enabled=False):
            return loss(*(z.float() for z in embeddings), **settings)

    return computed
