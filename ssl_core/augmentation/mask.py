"""Masking by patches: a fixed share of each image's square patches is hidden (MAE, arXiv:2111.06377, section 3)."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ssl_core.augmentation.chance import check_probability


@dataclass(frozen=True, kw_only=True)
class PatchMask:
    """The share of the patches that is hidden in every image, and a patch's side in pixels."""

    share: float = 0.75
    patch: int = 4

    def __post_init__(self) -> None:
        check_probability("share", self.share)
        if self.patch < 1:
            raise ValueError(f"patch is a side in pixels and must be 1 or more, not {self.patch}.")

    def check_side(self, side: int) -> None:
        """Raise ValueError unless whole patches fill the side of a view, and one of them is left to be seen."""
        if side % self.patch:
            raise ValueError(f"mask.patch is {self.patch}, which does not divide the view's side of {side} pixels.")
        patches = (side // self.patch) ** 2
        if hidden_count(self.share, patches) == patches:
            raise ValueError(f"mask.share is {self.share}, which hides all {patches} patches of a view.")

    def draw(self, count: int, height: int, width: int, generator: Generator) -> Tensor:
        """bool [count, height / patch, width / patch]: round(share x patches) of each image, True where hidden.

        Raises:
            ValueError: the patch does not divide the height or the width.
        """
        self.check_side(height)
        self.check_side(width)
        rows, columns = height // self.patch, width // self.patch
        order = torch.rand((count, rows * columns), generator=generator, device=generator.device).argsort(1)
        return (order < hidden_count(self.share, rows * columns)).view(count, rows, columns)


def hidden_count(share: float, patches: int) -> int:
    """How many of an image's patches are hidden."""
    return round(share * patches)


def places(hidden: Tensor, share: float) -> Tensor:
    """The places of the patches that are not hidden, int64 [N, K] in order, of bool [N, rows, columns].

    `share` says how many are hidden in every image, so that nothing has to be counted on the device.
    """
    patches = hidden[0].numel()
    return hidden.flatten(1).argsort(dim=1, stable=True)[:, : patches - hidden_count(share, patches)]


def hide(images: Tensor, hidden: Tensor) -> Tensor:
    """Set the hidden patches (bool [N, rows, columns]) of float [N, C, H, W] to 0; a new tensor."""
    count, _, height, width = images.shape
    rows, columns = hidden.shape[1:]
    kept = ~hidden[:, :, None, :, None].expand(count, rows, height // rows, columns, width // columns)
    return images * kept.reshape(count, 1, height, width)
