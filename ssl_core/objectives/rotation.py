"""Rotation prediction (RotNet): Gidaris, Singh, Komodakis, 2018, arXiv:1803.07728.

Each view x is turned by y x 360 / K degrees, y drawn from 0 to K - 1; a linear head on the representation says by
which:

    loss = cross-entropy(head(backbone(turn(x, y))), y).

K is 4; the authors tried 2 (0 and 180 degrees) and 8 too, and found 4 the best (table 2): by 8 they explain that turns
by 45 degrees look too much alike and leave marks of their making. Here, with K = 8, every view is seen through its
inscribed circle, of 0 around it: else the corners that such a turn brings in would give it away. That it also blurs a
little, which gives it away again, is left.

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
    """How many angles there are to tell apart: from 0 on, equally far apart."""

    name: Literal["rotation"]
    angles: Literal[2, 4, 8] = 4


class Rotation(Objective):
    """Tell by which angle an image was turned."""

    family: ClassVar[str] = "pretext"
    views: ClassVar[int] = 1

    def __init__(self, config: RotationConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.angles = config.angles
        self.head = nn.Linear(backbone.representation_size, config.angles)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The cross-entropy of the number of turns."""
        turned, turns = turn(views[0].images, self.angles)
        return {"rotation": F.cross_entropy(self.head(self.backbone(turned)).float(), turns)}

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The views, and below each the turned view."""
        view = views[0].images.float()
        return {"rotations": torch.stack([view, turn(view, self.angles)[0]])}


def turn(images: Tensor, angles: int = 4) -> tuple[Tensor, Tensor]:
    """Images [B, 3, H, H], each turned counter-clockwise by a number of turns drawn for it, int64 [B]."""
    turns = drawn(partial(torch.randint, angles), (len(images),), images.device)
    bases = [images] if angles < 8 else [seen_through(circle(images), images), eighth_turn(images)]
    step = 2 if angles == 2 else 1
    copies = [torch.rot90(base, k, dims=(2, 3)) for k in range(0, 4, step) for base in bases]
    return torch.stack(copies)[turns, torch.arange(len(images), device=images.device)], turns


def eighth_turn(images: Tensor) -> Tensor:
    """Images [B, 3, H, H] turned counter-clockwise by 45 degrees, bilinear, seen through the inscribed circle."""
    x, y = places(images)
    half = 0.5**0.5
    grid = torch.stack([half * (x - y), half * (x + y)], dim=-1).expand(len(images), -1, -1, -1)
    turned = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return seen_through(circle(images), turned.to(images.dtype))


def circle(images: Tensor) -> Tensor:
    """Which pixels lie in the inscribed circle, bool [H, H]."""
    x, y = places(images)
    return x**2 + y**2 <= 1


def places(images: Tensor) -> tuple[Tensor, Tensor]:
    """The centres of an image's pixels, right and down, [H, H] each, where the sides are at -1 and 1."""
    side = images.shape[-1]
    centres = (2 * torch.arange(side, device=images.device) + 1) / side - 1
    return centres.expand(side, -1), centres[:, None].expand(-1, side)


def seen_through(hole: Tensor, images: Tensor) -> Tensor:
    """Images [B, 3, H, H] within the hole [H, H], and 0, the mean colour, around it."""
    return images.masked_fill(~hole, 0)
