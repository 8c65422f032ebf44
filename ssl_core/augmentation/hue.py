"""Turning the hue, as RGB -> HSV -> RGB does, without ever storing HSV."""

import torch
from torch import Tensor


def turn_hue_(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of each image, in place.

    A pixel is low + chroma * wave, where the wave of each colour depends on the hue alone: 1 within one sextant of the
    colour (red 0, green 2, blue 4), 0 beyond two, and linear between. That is the HSV model (Smith 1978) with its
    value and saturation held fixed.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        turns: float [N], in turns of the colour circle, within [-0.5, 0.5].
    """
    red, green, blue = images.unbind(1)
    high = torch.maximum(red, green)
    low = torch.minimum(red, green)
    torch.maximum(high, blue, out=high)
    torch.minimum(low, blue, out=low)
    chroma = high - low
    hue = torch.where(green == high, (blue - red).add_(chroma, alpha=2), (red - green).add_(chroma, alpha=4))
    hue = torch.where(red == high, green - blue, hue)
    # A grey pixel has chroma and numerator 0, so any finite divisor will do.
    hue.div_(chroma.clamp(min=torch.finfo(chroma.dtype).tiny)).add_(6 * turns[:, None, None])
    hue.sub_((hue / 6).floor_(), alpha=6)
    torch.sub(hue, 3, out=red).abs_().sub_(1)
    torch.sub(hue, 2, out=green).abs_().neg_().add_(2)
    torch.sub(hue, 4, out=blue).abs_().neg_().add_(2)
    for plane in (red, green, blue):
        plane.clamp_(0, 1).mul_(chroma).add_(low)
    return images
