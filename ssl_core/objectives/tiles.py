"""Cutting images into tiles, for the tasks that ask where a tile was.

An image is divided into grid x grid cells; a tile is `gap` pixels smaller than its cell and lies anywhere in it:
tiles are `gap` pixels apart on average, so that neither an edge that goes on nor a fixed distance gives their places
away. Each tile is normalised by its own mean and deviation, so that brightness and contrast give nothing away either.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.backbones import BackboneConfig


def fit(backbone: BackboneConfig, image_size: int, grid: int, gap: int) -> bool:
    """Whether there are tiles of at least a pixel, which `backbone` takes as its images."""
    side = image_size // grid - gap
    try:
        backbone.check(image_size, side)
    except ValueError:
        return False
    return side >= 1


def nearest_gap(backbone: BackboneConfig, image_size: int, grid: int, gap: int) -> str:
    """The gap nearest to `gap` that leaves tiles which `backbone` takes, for a sentence."""
    gaps = [other for other in range(image_size // grid) if fit(backbone, image_size, grid, other)]
    return str(min(gaps, key=lambda other: abs(other - gap))) if gaps else "none"


def taken_by(backbone: BackboneConfig) -> str:
    """What side `backbone` needs tiles to have, for a sentence."""
    if backbone.patch:
        return f"whose patches of {backbone.patch} pixels must divide them"
    return f"which takes tiles of at least {backbone.stride} pixels"


def cut(images: Tensor, grid: int, gap: int) -> Tensor:
    """Normalised tiles [B, grid^2, 3, t, t] of images [B, 3, H, H], row by row.

    Where a tile lies in its cell is drawn from torch's default generator, the same for all images of the batch.
    """
    device, cell = images.device, images.shape[-1] // grid
    offsets = torch.randint(gap + 1, (2, grid**2, 1), device=device)
    tile, pixel = torch.arange(grid**2, device=device)[:, None], torch.arange(cell - gap, device=device)
    rows = cell * (tile // grid) + offsets[0] + pixel
    columns = cell * (tile % grid) + offsets[1] + pixel
    tiles = images[:, :, rows[:, :, None], columns[:, None, :]].transpose(1, 2)
    deviation, mean = torch.std_mean(tiles, dim=(-3, -2, -1), keepdim=True)
    return (tiles - mean) / (deviation + 1e-2)


def lay(tiles: Tensor, grid: int, image_size: int) -> Tensor:
    """Pictures [B, 3, image_size, image_size] of tiles [B, grid^2, 3, t, t], each in the corner of its cell."""
    cell = image_size // grid
    gap, rest = cell - tiles.shape[-1], image_size - grid * cell
    cells = F.pad(tiles, (0, gap, 0, gap)).unflatten(1, (grid, grid))
    laid = cells.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return F.pad(laid, (0, rest, 0, rest))
