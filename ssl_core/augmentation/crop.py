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
        heights, widths = (area / ratio).sqrt_().round_().long(), (area * ratio).sqrt_().round_().long()
        fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
        first = fits.int().argmax(1, keepdim=True)
        fits = fits.any(1)
        central_height, central_width = self._central(height, width)
        box_height = torch.where(fits, heights.gather(1, first)[:, 0], central_height)
        box_width = torch.where(fits, widths.gather(1, first)[:, 0], central_width)
        place = uniform(0, 1, (count, 2), generator)
        top = torch.where(fits, (place[:, 0] * (height - box_height + 1)).long(), (height - box_height) // 2)
        left = torch.where(fits, (place[:, 1] * (width - box_width + 1)).long(), (width - box_width) // 2)
        return torch.stack([top, left, box_height, box_width], dim=1)

    def _central(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the largest box with an allowed shape."""
        shape = min(max(width / height, self.ratio[0]), self.ratio[1])
        return min(height, round(width / shape)), min(width, round(height * shape))


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
    rows = scale_rows(images, top, height, size or images.shape[2])
    columns = triangle_filters(left, width, images.shape[3], size or images.shape[3], flipped)
    # The columns of all colours in one product: one large matrix is faster than several small ones.
    return (rows.flatten(1, 2) @ columns.mT).unflatten(1, rows.shape[1:3])


def scale_rows(images: Tensor, top: Tensor, height: Tensor, target: int) -> Tensor:
    """float [N, C, target, W]: the rows top … top + height - 1 of each image, scaled as `triangle_filters` says.

    Whole rows are fetched, few for each row of the result: half the work of a matrix product where nothing shrinks.
    """
    count, colours, source, _ = images.shape
    scale = (height / target)[:, None]
    reach = scale.clamp(min=1)
    centres = (torch.arange(target, device=images.device) + 0.5) * scale
    nearest = (centres - reach + 0.5).floor().long()
    begin = source * torch.arange(count * colours, device=images.device).view(count, colours, 1)
    flat = images.flatten(0, 2)
    scaled, total = torch.zeros((), device=images.device), torch.zeros((), device=images.device)
    for tap in range(2 * max(1, math.ceil(source / target)) + (target < source)):
        row = nearest + tap
        weight = (1 - (row + 0.5 - centres).abs() / reach).clamp(min=0) * ((row >= 0) & (row < height[:, None]))
        fetched = flat[begin + (row.clamp(min=0).minimum(height[:, None] - 1) + top[:, None])[:, None]]
        scaled = scaled + fetched * weight[:, None, :, None]
        total = total + weight
    return scaled * (1 / total)[:, None, :, None]


def triangle_filters(start: Tensor, length: Tensor, source: int, target: int, flipped: Tensor | None = None) -> Tensor:
    """float [N, target, source]: weights that scale the pixels start … start + length - 1 of a side to `target` pixels.

    Bilinear, as wide as the scale when shrinking (antialiased), and blind to what lies outside the box: what
    torchvision's `resized_crop` computes.
    """
    scale = (length / target)[:, None]
    centres = torch.arange(target, device=start.device) + 0.5
    if flipped is not None:
        centres = torch.where(flipped[:, None], target - centres, centres)
    centres = centres * scale
    pixels = torch.arange(source, device=start.device) + 0.5 - start[:, None]
    inside = (pixels > 0) & (pixels < length[:, None])
    distances = (pixels[:, None, :] - centres[:, :, None]).abs_()
    weights = distances.mul_(-1 / scale.clamp(min=1)[:, :, None]).add_(1).clamp_(min=0).mul_(inside[:, None, :])
    return weights.mul_(1 / weights.sum(2, keepdim=True))
