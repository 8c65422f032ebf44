"""Jigsaw puzzles: Noroozi and Favaro, 2016, arXiv:1603.09246.

A view is cut into grid x grid tiles; the tiles are shuffled by one permutation of a fixed set; every tile passes the
same backbone, and a head on the concatenated representations says which permutation it was:

    loss = cross-entropy(head([h_1, ..., h_T]), index of the permutation).

Against shortcuts, as in the paper: a random gap between tiles, and each tile normalised by its own mean and deviation.
Deviation: for a 2 x 2 grid the set is all 24 permutations; above, permutations are chosen greedily by Hamming distance.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.errors import Refused
from ssl_core.objectives.objective import Objective
from ssl_core.parallel import drawn


@dataclass(frozen=True, kw_only=True)
class JigsawConfig:
    """Tiles a side, size of the permutation set, pixels of the largest gap, hidden width of the head."""

    name: Literal["jigsaw"]
    grid: Literal[2, 3] = 2
    permutations: int = 24
    gap: int = 2
    width: int = 256

    def __post_init__(self) -> None:
        most = 24 if self.grid == 2 else 1000
        if not 2 <= self.permutations <= most:
            raise ValueError(f"permutations is {self.permutations}; 2 to {most} with a grid of {self.grid}")


class Jigsaw(Objective):
    """Tell in which order an image's tiles were laid."""

    orders: Tensor

    family: ClassVar[str] = "pretext"
    views: ClassVar[int] = 1

    def __init__(self, config: JigsawConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.config = config
        self.tile = image_size // config.grid - config.gap
        if self.tile < max(8, backbone.stride):
            raise Refused(f"tiles of {self.tile} pixels; images of {image_size} are too small for this grid and gap")
        self.register_buffer("orders", permutation_set(config.grid**2, config.permutations))
        tiles = config.grid**2 * backbone.representation_size
        self.head = nn.Sequential(
            nn.Linear(tiles, config.width), nn.ReLU(inplace=True), nn.Linear(config.width, config.permutations)
        )

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The cross-entropy of the permutation; its index is the pseudo-label."""
        tiles, order = self.shuffle(views[0].images.float())
        h = self.backbone(tiles.flatten(0, 1)).unflatten(0, tiles.shape[:2])
        return {"permutation": F.cross_entropy(self.head(h.flatten(1)).float(), order)}

    def shuffle(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Shuffled tiles [B, T, 3, t, t] of images [B, 3, H, W], and the permutations' indices [B]."""
        grid, cell, device = self.config.grid, images.shape[-1] // self.config.grid, images.device
        gaps = torch.randint(self.config.gap + 1, (2, grid**2, 1), device=device)
        tile, pixel = torch.arange(grid**2, device=device)[:, None], torch.arange(self.tile, device=device)
        rows = cell * (tile // grid) + gaps[0] + pixel
        columns = cell * (tile % grid) + gaps[1] + pixel
        tiles = images[:, :, rows[:, :, None], columns[:, None, :]].transpose(1, 2)
        deviation, mean = torch.std_mean(tiles, dim=(-3, -2, -1), keepdim=True)
        order = drawn(partial(torch.randint, self.config.permutations), (len(images),), device)
        index = torch.arange(len(images), device=device)[:, None]
        return ((tiles - mean) / (deviation + 1e-2))[index, self.orders[order]], order

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The views, and below each its tiles as the network is given them."""
        view = views[0].images.float()
        tiles, _ = self.shuffle(view)
        gap = view.shape[-1] // self.config.grid - self.tile
        rows = F.pad(tiles, (0, gap, 0, gap)).unflatten(1, (self.config.grid, self.config.grid))
        puzzles = rows.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
        missing = view.shape[-1] - puzzles.shape[-1]
        return {"puzzles": torch.stack([view, F.pad(puzzles, (0, missing, 0, missing))])}


def permutation_set(tiles: int, count: int) -> Tensor:
    """Permutations [count, tiles]; each next one is that of 1,000 candidates which is farthest from those chosen."""
    if tiles <= 4:
        return torch.tensor(list(itertools.permutations(range(tiles))))[:count]
    generator = torch.Generator().manual_seed(0)
    candidates = torch.stack([torch.randperm(tiles, generator=generator) for _ in range(max(1000, count))])
    nearest = (candidates != candidates[0]).sum(dim=1)
    chosen = [0]
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (candidates != candidates[chosen[-1]]).sum(dim=1))
    return candidates[chosen]
