"""Masked autoencoder (MAE): He et al., 2021, arXiv:2111.06377.

Of an image's patches a share is hidden, drawn evenly for each image. The encoder sees the tokens of the visible ones
alone; a narrow decoder is given what it makes of them and a mask token at every hidden place:

    loss = mean over hidden patches i and their pixels j of (decoder(backbone(x_visible))_ij - y_ij)^2
    y_i  = (x_i - mean(x_i)) / sqrt(Var(x_i) + 1e-6)

mean and Var over a patch's own pixels, all channels together (the authors' code, whose Var divides by n - 1); y = x
with `normalised: false`.
The decoder is half as wide as the backbone, as the authors' for ViT-L is (512 of 1024).
Deviations: the decoder has 2 blocks (8), for short runs; it predicts the hidden patches only, where the authors'
predicts all and drops the rest, and is given no class token; our transformer has none unless asked, and the mean of its
tokens is evaluated; how many patches are hidden is rounded, the authors' rounded up. Crops are antialiased and
bilinear, the authors' bicubic. Their AdamW has betas .9 and .95.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig, with_tokens
from ssl_core.backbones.tokens import take
from ssl_core.objectives.objective import Objective
from ssl_core.objectives.patches import (
    PatchDecoder,
    check_decoder,
    draw_places,
    hidden_patches,
    patchify,
    with_patches,
)


@dataclass(frozen=True, kw_only=True)
class MAEConfig:
    """Share of the patches hidden, whether their pixels are normalised, and the decoder's width, depth and heads.

    `decoder_width` null: half of the backbone's.
    """

    name: Literal["mae"]
    masked_share: float = 0.75
    normalised: bool = True
    decoder_width: int | None = None
    decoder_depth: int = 2
    decoder_heads: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.masked_share < 1:
            raise ValueError(f"masked_share is {self.masked_share}; it must be above 0 and below 1")
        check_decoder("decoder", self.decoder_width, self.decoder_depth, self.decoder_heads)


class MAE(Objective):
    """Tell the pixels of hidden patches from the visible ones."""

    family: ClassVar[str] = "generative"
    views: ClassVar[int] = 1
    needs_tokens: ClassVar[bool] = True

    def __init__(self, config: MAEConfig, backbone: Backbone, image_size: int, classes: int) -> None:
        super().__init__(backbone)
        self.normalised, self.patch = config.normalised, with_tokens(backbone).patch
        grid = image_size // self.patch
        self.patches, self.hidden = grid**2, hidden_patches(config.masked_share, grid**2)
        self.decoder = PatchDecoder(
            backbone.representation_size,
            3 * self.patch**2,
            grid,
            width=config.decoder_width,
            depth=config.decoder_depth,
            heads=config.decoder_heads,
        )

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Raise ValueError where there are no patches, or none or all of them would be hidden."""
        super().check(config, backbone, image_size, batch_size)
        hidden_patches(config.masked_share, (image_size // backbone.patch) ** 2)

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The squared error of the hidden patches' pixels."""
        images = views[0].images
        visible, hidden = draw_places(len(images), self.patches, self.hidden, images.device)
        pixels = take(patchify(images.float(), self.patch), hidden)
        target = normalise(pixels) if self.normalised else pixels
        return {"reconstruction": F.mse_loss(self.predict(images, visible, hidden), target)}

    def predict(self, images: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """The hidden patches' pixels, as the loss wants them, float32 [B, M, P], of which the encoder sees none."""
        backbone = with_tokens(self.backbone)
        tokens = backbone.encode(take(backbone.embed(images), visible))
        return self.decoder(tokens, visible, hidden).float()

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """Original, masked and restored, a row each; a normalised patch is given its own mean and deviation back."""
        images = views[0].images.float()
        visible, hidden = draw_places(len(images), self.patches, self.hidden, images.device)
        pixels, restored = take(patchify(images, self.patch), hidden), self.predict(images, visible, hidden)
        if self.normalised:
            restored = restored * deviation(pixels) + pixels.mean(dim=-1, keepdim=True)
        masked = with_patches(images, hidden, torch.zeros_like(pixels), self.patch)
        return {"reconstructions": torch.stack([images, masked, with_patches(images, hidden, restored, self.patch)])}


def normalise(pixels: Tensor) -> Tensor:
    """Patches [B, M, P] of mean 0 and variance 1."""
    return (pixels - pixels.mean(dim=-1, keepdim=True)) / deviation(pixels)


def deviation(pixels: Tensor) -> Tensor:
    """The standard deviation of each patch [B, M, P], not below 0.001: [B, M, 1]."""
    return (pixels.var(dim=-1, keepdim=True) + 1e-6).sqrt()
