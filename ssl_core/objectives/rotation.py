"""Rotation prediction (RotNet): Gidaris, Singh, Komodakis, 2018, arXiv:1803.07728.

Each view x is turned by y x 90 degrees, y drawn from 0 to 3; a linear head on the representation says by which:

    loss = cross-entropy(head(backbone(turn(x, y))), y).

Deviation: the authors put all four turned copies of an image into the batch, and found one drawn at random worse
(section 3.1); here it is one, so that a view costs what it costs every other method, and a batch has as many images.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.objectives.objective import Objective
from ssl_core.parallel import drawn


@dataclass(frozen=True, kw_only=True)
class RotationConfig:
    """Nothing to set."""

    name: Literal["rotation"]


class Rotation(Objective):
    """Tell by how many quarter turns an image was turned."""

    family: ClassVar[str] = "pretext"
    views: ClassVar[int] = 1

    def __init__(self, config: RotationConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.head = nn.Linear(backbone.representation_size, 4)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The cross-entropy of the number of turns."""
        turned, turns = turn(views[0].images)
        return {"rotation": F.cross_entropy(self.head(self.backbone(turned)).float(), turns)}

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The views, and below each the turned view."""
        view = views[0].images.float()
        return {"rotations": torch.stack([view, turn(view)[0]])}


def turn(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images [B, 3, H, H], each turned counter-clockwise by a number of quarter turns drawn for it, int64 [B]."""
    turns = drawn(partial(torch.randint, 4), (len(images),), images.device)
    copies = torch.stack([torch.rot90(images, k, dims=(2, 3)) for k in range(4)])
    return copies[turns, torch.arange(len(images), device=images.device)], turns
