"""A view: one augmented copy of each image of a batch, and which of its patches can be seen."""

from typing import NamedTuple

import torch
from torch import Tensor


class View(NamedTuple):
    """Standardised images [B, 3, H, W], and where patches are masked the places of those that are not, int64 [B, K].

    Places count row by row. The masked patches' pixels are 0, which is what a convolutional network sees; a vision
    transformer leaves their tokens out.
    """

    images: Tensor
    visible: Tensor | None = None

    def to(self, precision: torch.dtype) -> "View":
        """The same view, its images of another type."""
        return View(self.images.to(precision), self.visible)
