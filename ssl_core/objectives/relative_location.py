"""Relative location, or context prediction: Doersch, Gupta, Efros, 2015, arXiv:1505.05192.

A view is cut into 3 x 3 tiles, which pass the same backbone one by one. A head that is given the representations of
the middle tile and of one of its 8 neighbours says which neighbour it is:

    loss = mean over the 8 neighbours of cross-entropy(head([h_middle, h_neighbour]), index of the neighbour).

As with the authors, a tile is in all its pairs what the backbone made of it once (section 3: up to 8 pairs a tile).
Deviations: the authors' tiles are 96 pixels, half a tile apart and moved by up to 7 pixels, and come from one large
image; here they are what a small image gives, `gap` pixels apart on average (1, which leaves 8 of the 9 pixels that an
image of 28 has for a tile; half a tile apart is a `gap` of a ninth of the side, where the backbone takes tiles that
small), drawn once for a batch, and pairs of the middle tile alone. Where 3 does not divide an image's side, its last
rows and columns of pixels are in no tile. Against the shortcut by chromatic aberration they project the colours or drop
two channels; here each tile is normalised, and the recipe's jitter and greyscale do the rest.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.objectives import tiles
from ssl_core.objectives.objective import Objective

GRID, MIDDLE, NEIGHBOURS = 3, 4, 8


@dataclass(frozen=True, kw_only=True)
class RelativeLocationConfig:
    """Pixels of the mean gap between tiles, hidden width of the head."""

    name: Literal["relative_location"]
    gap: int = 1
    width: int = 256

    def __post_init__(self) -> None:
        if self.gap < 0:
            raise ValueError(f"gap is {self.gap}; it must be 0 or more")
        if self.width < 1:
            raise ValueError(f"width is {self.width}; it is a hidden width, at least 1")


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
        """The cross-entropy of the neighbours' indices, which count row by row and leave out the middle."""
        cut = tiles.cut(views[0].images.float(), GRID, self.gap)
        h = self.backbone(cut.flatten(0, 1)).unflatten(0, cut.shape[:2])
        neighbours = torch.cat([h[:, :MIDDLE], h[:, MIDDLE + 1 :]], dim=1)
        said = self.head(torch.cat([h[:, MIDDLE, None].expand_as(neighbours), neighbours], dim=2)).float()
        index = torch.arange(NEIGHBOURS, device=said.device).expand(len(said), -1)
        return {"location": F.cross_entropy(said.flatten(0, 1), index.flatten())}

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The views, and below each its tiles in their places."""
        view = views[0].images.float()
        return {"tiles": torch.stack([view, tiles.lay(tiles.cut(view, GRID, self.gap), GRID, view.shape[-1])])}
