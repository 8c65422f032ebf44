"""Jigsaw puzzles: Noroozi and Favaro, 2016, arXiv:1603.09246.

A view is cut into grid x grid tiles; the tiles are shuffled by one permutation of a fixed set; every tile passes the
same backbone, and a head on the concatenated representations says which permutation it was:

    loss = cross-entropy(head([h_1, ..., h_T]), index of the permutation).

How hard the task is follows from how many permutations there are and how far apart they lie; each is chosen greedily,
so that its least Hamming distance to those before it is the largest. Against shortcuts, as in the paper: a random gap
between tiles, and each tile normalised by its own mean and deviation.

Deviations: the paper's grid is 3 x 3, with up to 1,000 permutations; small images allow 2 x 2, which has only 24. The
authors choose among all permutations of the tiles, here above 2 x 2 among some thousands, and for the largest sum of
distances, which may leave two of the set close together. Gaps are drawn once for a batch.
"""

import itertools
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


@dataclass(frozen=True, kw_only=True)
class JigsawConfig:
    """Tiles a side, size of the permutation set, pixels of the mean gap between tiles, hidden width of the head."""

    name: Literal["jigsaw"]
    grid: Literal[2, 3, 4] = 2
    permutations: int = 24
    gap: int = 2
    width: int = 256

    def __post_init__(self) -> None:
        most = 24 if self.grid == 2 else 1000
        if not 2 <= self.permutations <= most:
            raise ValueError(f"permutations is {self.permutations}; 2 to {most} with a grid of {self.grid}")
        if self.gap < 0:
            raise ValueError(f"gap is {self.gap}; it must be 0 or more")
        if self.width < 1:
            raise ValueError(f"width is {self.width}; it is a hidden width, at least 1")


class Jigsaw(Objective):
    """Tell in which order an image's tiles were laid."""

    orders: Tensor

    family: ClassVar[str] = "pretext"
    views: ClassVar[int] = 1

    def __init__(self, config: JigsawConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.config = config
        self.register_buffer("orders", permutation_set(config.grid**2, config.permutations))
        self.head = nn.Sequential(
            nn.Linear(config.grid**2 * backbone.representation_size, config.width),
            nn.ReLU(inplace=True),
            nn.Linear(config.width, config.permutations),
        )

    @classmethod
    def check(cls, config: JigsawConfig, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Refuse a grid that does not divide the images, or leaves tiles that the backbone cannot take."""
        super().check(config, backbone, image_size, batch_size)

        def possible(grid: int, gap: int) -> bool:
            return image_size % grid == 0 and tiles.fit(backbone, image_size, grid, gap)

        if not possible(config.grid, config.gap):
            grids = [str(grid) for grid in (2, 3, 4) if possible(grid, config.gap)]
            gap = tiles.nearest_gap(backbone, image_size, config.grid, config.gap)
            raise ValueError(
                f"grid is {config.grid} and gap {config.gap}: images of {image_size} pixels do not divide into such "
                f"tiles for {backbone.name}, {tiles.taken_by(backbone)}; possible grids with this gap: "
                f"{', '.join(grids) or 'none'}; nearest possible gap with this grid: "
                f"{'none' if image_size % config.grid else gap}"
            )

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The cross-entropy of the permutation; its index is the pseudo-label."""
        shuffled, order = self.shuffle(views[0].images.float())
        h = self.backbone(shuffled.flatten(0, 1)).unflatten(0, shuffled.shape[:2])
        return {"permutation": F.cross_entropy(self.head(h.flatten(1)).float(), order)}

    def shuffle(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Shuffled tiles [B, T, 3, t, t] of images [B, 3, H, H], and the permutations' indices [B]."""
        cut = tiles.cut(images, self.config.grid, self.config.gap)
        order = drawn(partial(torch.randint, self.config.permutations), (len(images),), images.device)
        index = torch.arange(len(images), device=images.device)[:, None]
        return cut[index, self.orders[order]], order

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The views, and below each its tiles as the network is given them."""
        view = views[0].images.float()
        shuffled, _ = self.shuffle(view)
        return {"puzzles": torch.stack([view, tiles.lay(shuffled, self.config.grid, view.shape[-1])])}


def permutation_set(count_of_tiles: int, count: int) -> Tensor:
    """Permutations [count, tiles], from the identity or a random one on; each next is the farthest from those chosen.

    The candidates are all permutations of four tiles, and of more tiles 1,000 random ones or 4 for each that is chosen.
    """
    if count_of_tiles <= 4:
        candidates = torch.tensor(list(itertools.permutations(range(count_of_tiles))))
    else:
        generator = torch.Generator().manual_seed(0)
        candidates = torch.stack(
            [torch.randperm(count_of_tiles, generator=generator) for _ in range(max(1000, 4 * count))]
        )
    nearest = (candidates != candidates[0]).sum(dim=1)
    chosen = [0]
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (candidates != candidates[chosen[-1]]).sum(dim=1))
    return candidates[chosen]
