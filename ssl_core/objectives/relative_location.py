"""Relative location, or context prediction: Doersch, Gupta, Efros, 2015, arXiv:1505.05192.

A view is cut into 3 x 3 tiles. The middle one and one of its 8 neighbours, drawn for each image, pass the same
backbone, and a head on both representations says which neighbour it was:

    loss = cross-entropy(head([h_middle, h_neighbour]), index of the neighbour).

Deviations: the authors' tiles are 96 pixels, half a tile apart and moved by up to 7 pixels, and many pairs are cut out
of one large image; here the tiles are what a small image gives, `gap` pixels apart on average, a pair an image. Against
the shortcut by chromatic aberration they project the colours or drop two channels; here each tile is normalised, and
the recipe's jitter and greyscale do the rest.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.objectives import tiles
from ssl_core.objectives.objective import Objective
from ssl_core.parallel import drawn

GRID, MIDDLE, NEIGHBOURS = 3, 4, 8


@dataclass(frozen=True, kw_only=True)
class RelativeLocationConfig:
    """Pixels of the mean gap between tiles, hidden width of the head."""

    name: Literal["relative_location"]
    gap: int = 2
    width: int = 256

    def __post_init__(self) -> None:
        if self.gap < 0:
            raise ValueError(f"gap is {self.gap}; it must be 0 or more")


class RelativeLocation(Objective):
    """Tell on which side of a tile another one was."""

    family: ClassVar[str] = "pretext"
    views: ClassVar[int] = 1

    def __init__(self, config: RelativeLocationConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.gap = config.gap
        self.head = nn.Sequential(
            nn.Linear(2 * backbone.representation_size, config.width),
            nn.ReLU(inplace=True),
            nn.Linear(config.width, NEIGHBOURS),
        )

    @classmethod
    def check(cls, config: RelativeLocationConfig, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse images too small for nine tiles that the backbone can take."""
        super().check(config, backbone, image_size, batch_size)
        if not tiles.fit(backbone, image_size, GRID, config.gap):
            raise ValueError(
                f"gap is {config.gap}: images of {image_size} pixels do not divide into such 3 x 3 tiles for "
                f"{backbone.name}, {tiles.taken_by(backbone)}; nearest possible gap: "
                f"{tiles.nearest_gap(backbone, image_size, GRID, config.gap)}"
            )

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The cross-entropy of the neighbour's index."""
        middle, other, neighbour = self.pair(views[0].images.float())
        h = torch.cat(self.backbone(torch.cat([middle, other])).chunk(2), dim=1)
        return {"location": F.cross_entropy(self.head(h).float(), neighbour)}

    def pair(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The middle tiles and a neighbour of each [B, 3, t, t] of images [B, 3, H, H], and its index, int64 [B].

        Neighbours count row by row, leaving out the middle.
        """
        cut = tiles.cut(images, GRID, self.gap)
        neighbour = drawn(partial(torch.randint, NEIGHBOURS), (len(images),), images.device)
        place = neighbour + (neighbour >= MIDDLE)
        return cut[:, MIDDLE], cut[torch.arange(len(images), device=images.device), place], neighbour

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The views, and below each its two tiles in their places."""
        view = views[0].images.float()
        middle, other, neighbour = self.pair(view)
        shown = torch.zeros(len(view), GRID**2, *middle.shape[1:], device=view.device)
        shown[:, MIDDLE] = middle
        shown[torch.arange(len(view), device=view.device), neighbour + (neighbour >= MIDDLE)] = other
        return {"pairs": torch.stack([view, tiles.lay(shown, GRID, view.shape[-1])])}
