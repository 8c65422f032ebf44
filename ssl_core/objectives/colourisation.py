"""Colourisation: Zhang, Isola, Efros, 2016, arXiv:1603.08511.

The network is given a view's grey image and says which colour each position has, as one of a fixed set of classes:

    loss = mean over positions p of cross-entropy(decoder(backbone(grey))_p, class of the colour at p).

Views are standardised and their statistics are not known here, so that the colours are opponent colours of the
standardised channels R, G, B:

    grey = (R + G + B) / 3,    a = R - G,    b = (R + G) / 2 - B,

grey three times over is the input; a and b are each cut into `bins` equal bins from -1.5 to 1.5 (as far as 98 of
100 positions of CIFAR-10 go), the outer ones open, and a class is a bin of both. Positions are 1/4 of the image's
resolution, as in the paper.

Deviations: opponent colours instead of Lab and its 313 classes in gamut; the class itself as target instead of its 5
nearest neighbours, and no class weighs more than another (the paper's rebalancing of rare colours); the decoder is
given the pooled representation, which is what is evaluated, where the authors' network keeps its map of features. The
authors evaluate on grey images; here the backbone is evaluated on coloured ones as every other method's.

The recipe must leave the colours alone: jitter null, greyscale and solarise 0. Grey images have nothing to learn from.
A recipe that changes colours is refused, and so are grey images.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone
from ssl_core.heads import Decoder
from ssl_core.objectives.objective import Objective

RANGE = 1.5


@dataclass(frozen=True, kw_only=True)
class ColourisationConfig:
    """Bins of each of the two colour axes, channels of the decoder."""

    name: Literal["colourisation"]
    bins: int = 9
    decoder_width: int = 32

    def __post_init__(self) -> None:
        if self.bins < 2:
            raise ValueError(f"bins is {self.bins}; at least 2 are needed")
        if self.decoder_width < 1:
            raise ValueError(f"decoder_width is {self.decoder_width}; at least 1 is needed")


class Colourisation(Objective):
    """Tell an image's colours from its brightness."""

    family: ClassVar[str] = "pretext"
    views: ClassVar[int] = 1
    needs_colours: ClassVar[bool] = True

    def __init__(self, config: ColourisationConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.bins = config.bins
        size = backbone.representation_size
        self.decoder = Decoder(size, image_size, config.decoder_width, channels=config.bins**2, reduction=4)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The cross-entropy of the colours."""
        grey, chroma = opponent(views[0].images.float())
        logits = self.decode(grey)
        classes = quantise(F.adaptive_avg_pool2d(chroma, logits.shape[-1]), self.bins)
        return {"colour": F.cross_entropy(logits, classes)}

    def decode(self, grey: Tensor) -> Tensor:
        """Logits of the colour classes [B, bins^2, s, s] of grey images [B, 1, H, H]."""
        return self.decoder(self.backbone(grey.expand(-1, 3, -1, -1))).float()

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """The views, their grey images, and these in the most probable colours."""
        view = views[0].images.float()
        grey, _ = opponent(view)
        chroma = F.interpolate(centres(self.decode(grey).argmax(dim=1), self.bins), view.shape[-1])
        return {"colours": torch.stack([view, grey.expand_as(view), coloured(grey, chroma)])}


def opponent(images: Tensor) -> tuple[Tensor, Tensor]:
    """Grey [B, 1, H, H] and the colour axes a and b [B, 2, H, H] of images [B, 3, H, H]."""
    red, green, blue = images.unbind(dim=1)
    return images.mean(dim=1, keepdim=True), torch.stack([red - green, (red + green) / 2 - blue], dim=1)


def coloured(grey: Tensor, chroma: Tensor) -> Tensor:
    """The images that `opponent` takes apart."""
    a, b = chroma.unbind(dim=1)
    red_green = grey[:, 0] + b / 3
    return torch.stack([red_green + a / 2, red_green - a / 2, red_green - b], dim=1)


def quantise(chroma: Tensor, bins: int) -> Tensor:
    """The class, int64 [B, s, s] from 0 to bins^2 - 1, of colours [B, 2, s, s]."""
    index = ((chroma + RANGE) * (bins / (2 * RANGE))).floor().long().clamp(0, bins - 1)
    return index[:, 0] * bins + index[:, 1]


def centres(classes: Tensor, bins: int) -> Tensor:
    """The colours [B, 2, s, s] in the middle of the classes' bins, int64 [B, s, s]."""
    index = torch.stack([classes // bins, classes % bins], dim=1)
    return (index + 0.5) * (2 * RANGE / bins) - RANGE
