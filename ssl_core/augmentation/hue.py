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
    chroma = high.sub_(low)
    # The way from red to the hue, in chromas: red's lack, green and blue; its sign says whether it goes over green.
    way = (chroma + green).add_(blue).sub_(red).sub_(low)
    # A grey pixel has chroma and way 0, so any finite divisor will do.
    way.div_(chroma.clamp(min=torch.finfo(chroma.dtype).tiny))
    hue = torch.copysign(way, green - blue, out=way).add_(6 * turns[:, None, None])
    hue.sub_((hue / 6).floor_(), alpha=6)
    for plane, middle in ((red, 3), (green, 2), (blue, 4)):
        torch.sub(hue, middle, out=plane).abs_()
    # Red lies at both ends of the scale, so its wave is high far from the middle.
    red.sub_(1)
    images[:, 1:].neg_().add_(2)
    return images.clamp_(0, 1).mul_(chroma[:, None]).add_(low[:, None])
