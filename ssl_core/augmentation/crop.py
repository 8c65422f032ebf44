"""Random resized crop: a box of random area and shape, scaled to the size of the view, in one step with the flip."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ssl_core.augmentation.chance import uniform

TRIES = 10


@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop:
    """The box's share of the image's area, and its width : height, drawn as torchvision's `RandomResizedCrop` does.

    The area is uniform in `scale`, the logarithm of the shape is uniform in `ratio`, and the first of ten tries that
    fits into the image is taken; if none does, the largest central box with an allowed shape.
    """

    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must be two rising shares of the image's area in (0, 1], not {list(self.scale)}.")
        if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise ValueError(f"ratio must be two rising positive numbers, width : height, not {list(self.ratio)}.")

    def draw(self, count: int, height: int, width: int, generator: Generator) -> Tensor:
        """int64 [count, 4]: top, left, height, width of each image's box."""
        shape = (count, TRIES)
        area = uniform(*self.scale, shape, generator).mul_(height * width)
        ratio = uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), shape, generator).exp_()
        sides = torch.stack([(area / ratio).sqrt_(), (area * ratio).sqrt_()], dim=-1).round_().long()
        limits = torch.tensor([height, width], device=sides.device)
        fits = ((sides > 0) & (sides <= limits)).all(-1)
        first = fits.int().argmax(1)
        box = sides[torch.arange(count, device=sides.device), first]
        box = torch.where(fits.any(1, keepdim=True), box, self._central(height, width, sides.device))
        room = limits - box
        corner = (uniform(0, 1, (count, 2), generator) * (room + 1)).long()
        corner = torch.where(fits.any(1, keepdim=True), corner, room // 2)
        return torch.cat([corner, box], dim=1)

    def _central(self, height: int, width: int, device: torch.device) -> Tensor:
        """int64 [2]: height and width of the largest box with an allowed shape."""
        shape = min(max(width / height, self.ratio[0]), self.ratio[1])
        sides = [min(height, round(width / shape)), min(width, round(height * shape))]
        return torch.tensor(sides, device=device)


def resized_crop(images: Tensor, boxes: Tensor, flipped: Tensor | None = None, size: int | None = None) -> Tensor:
    """Cut a box out of each image and scale it, antialiased, mirroring the chosen ones.

    Args:
        images: float [N, C, H, W].
        boxes: int64 [N, 4]: top, left, height, width.
        flipped: bool [N], the images to mirror; none by default.
        size: side of the square result; height and width of the images by default.

    Returns:
        float [N, C, H, W] or [N, C, size, size].
    """
    top, left, height, width = boxes.unbind(1)
    rows = triangle_filters(top, height, images.shape[2], size or images.shape[2])
    columns = triangle_filters(left, width, images.shape[3], size or images.shape[3], flipped)
    mixed = rows[:, None] @ images
    # The columns of all colours in one product: one large matrix is faster than several small ones.
    return (mixed.flatten(1, 2) @ columns.mT).unflatten(1, mixed.shape[1:3])


def triangle_filters(start: Tensor, length: Tensor, source: int, target: int, flipped: Tensor | None = None) -> Tensor:
    """float [N, target, source]: weights that scale the pixels start … start + length - 1 of a side to `target` pixels.

    Bilinear, as wide as the scale when shrinking (antialiased), and blind to what lies outside the box: what
    torchvision's `resized_crop` computes.
    """
    scale = (length / target)[:, None]
    centres = (torch.arange(target, device=start.device) + 0.5).expand(len(start), -1)
    if flipped is not None:
        centres = torch.where(flipped[:, None], target - centres, centres)
    centres = centres * scale
    pixels = torch.arange(source, device=start.device) + 0.5 - start[:, None]
    inside = (pixels > 0) & (pixels < length[:, None])
    distances = pixels[:, None, :] - centres[:, :, None]
    weights = distances.abs_().div_(scale.clamp(min=1)[:, :, None]).neg_().add_(1).clamp_(min=0)
    weights.mul_(inside[:, None, :])
    return weights.div_(weights.sum(2, keepdim=True))
