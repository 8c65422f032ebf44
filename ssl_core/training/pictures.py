"""PNG pictures of views and of what an objective makes of them."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ssl_core.augmentation import Augment, denormalise
from ssl_core.objectives import Objective


@torch.no_grad()
def write_pictures(objective: Objective, images: Tensor, augment: Augment, folder: Path) -> None:
    """`views.png`: each image above its views; and the objective's own pictures. `images`: uint8 [B, 3, H, W]."""
    folder.mkdir()
    generator = torch.Generator(images.device).manual_seed(0)
    torch.manual_seed(0)
    objective.eval()
    views = augment(images, generator)
    shown = [_framed(denormalise(view.images, augment.mean, augment.std), images.shape[-1]) for view in views]
    _write(torch.stack([images, *shown]), folder / "views.png")
    for name, grid in objective.pictures(views).items():
        pixels = denormalise(grid.flatten(0, 1), augment.mean, augment.std)
        _write(pixels.unflatten(0, grid.shape[:2]), folder / f"{name}.png")


def _framed(view: Tensor, side: int) -> Tensor:
    """A view, uint8 [B, 3, h, w], in the middle of white squares of `side` pixels: local beside global ones."""
    before = (side - view.shape[-1]) // 2
    after = side - view.shape[-1] - before
    return torch.nn.functional.pad(view, (before, after, before, after), value=255)


def _write(grid: Tensor, file: Path) -> None:
    """A grid of uint8 images [rows, columns, 3, H, W] as one PNG, enlarged to be looked at."""
    rows, columns, channels, height, width = grid.shape
    framed = torch.nn.functional.pad(grid, (1, 1, 1, 1), value=255)
    sheet = framed.permute(0, 3, 1, 4, 2).reshape(rows * (height + 2), columns * (width + 2), channels)
    picture = Image.fromarray(sheet.cpu().numpy())
    scale = max(1, 64 // height)
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(file)
