"""Turning the hue, as RGB -> HSV -> RGB does, without ever storing HSV."""

import torch
from torch import Tensor


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of each image; a new tensor.

    A pixel is low + chroma * wave, where the wave of each colour depends on the hue alone: 1 within one sextant of the
    colour (red 0, green 2, blue 4), 0 beyond two, and linear between. That is the HSV model (Smith 1978) with its
    value and saturation held fixed.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        turns: float [N], in turns of the colour circle, within [-0.5, 0.5].
    """
    red, green, blue = images.unbind(1)
    low = torch.minimum(red, green).minimum(blue)
    chroma = torch.maximum(red, green).maximum(blue).sub_(low)
    # The way from red to the hue, in chromas: red's lack, green and blue; its sign says whether it goes over green.
    way = (chroma + green).add_(blue).sub_(red).sub_(low)
    # A grey pixel has chroma and way 0, so any finite divisor will do.
    way.div_(chroma.clamp(min=torch.finfo(chroma.dtype).tiny))
    hue = way.copysign_(green - blue).add_(6 * turns[:, None, None])
    hue.sub_((hue * (1 / 6)).floor_(), alpha=6)
    # Red lies at both ends of the scale, so its wave is high far from the middle.
    waves = ((hue - 3).abs_().sub_(1), 2 - (hue - 2).abs_(), 2 - (hue - 4).abs_())
    return torch.stack([wave.clamp_(0, 1).mul_(chroma).add_(low) for wave in waves], dim=1)
