"""Greyscale: some images lose their colour."""

from torch import Tensor


def luminance(images: Tensor) -> Tensor:
    """Grey [N, H, W] of RGB images [N, 3, H, W]: ITU-R 601-2 weights, rounded as in torchvision."""
    red, green, blue = images.unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def greyscale(images: Tensor, chosen: Tensor) -> Tensor:
    """Make the chosen images (bool [N]) of float [N, 3, H, W] grey; a new tensor."""
    share = chosen.to(images.dtype)[:, None, None]
    grey = luminance(images).mul_(share)
    return (images * (1 - share)[:, None]).add_(grey[:, None])
